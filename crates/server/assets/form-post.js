// Sends the one form of the page; a field named "submit" cannot hide the method.
const form = document.querySelector("form");
if (form) {
  HTMLFormElement.prototype.submit.call(form);
}
