//! Roles: the token names every role a person has, and at a resource that goes by role they decide what its scopes are.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use serde_json::{Value, json};
use vouchsafe_issuer::{AdminError, Resource, Role};
use vouchsafe_protocol::{ResourceUri, RoleName, ScopeSet};
use vouchsafe_tests::{Answer, TestApp, TestClient, password_of};

/// Goes by role.
const API: &str = "https://api.example/";
/// Does not.
const FILES: &str = "https://files.example/";
const ITEMS: &str = "items:read items:write items:delete";
const EVERYTHING: &str = "openid items:read items:write items:delete files:read";

fn role_names(names: &[&str]) -> Vec<RoleName> {
    names.iter().map(|name| RoleName::parse(name).unwrap()).collect()
}

/// Three roles that include each other, a resource that goes by role, one that does not, and a client of both.
async fn house(app: &TestApp) -> TestClient<'_> {
    app.role("viewer", "items:read", &[]).await;
    app.role("editor", "items:write", &["viewer"]).await;
    app.role("admin", "items:delete", &["editor"]).await;
    let by_role = |resource: &mut Resource| resource.by_role = true;
    let api = app.resource_with(API, ITEMS, by_role).await;
    let files = app.resource(FILES, "files:read").await;
    client_of(app, "web", EVERYTHING, vec![api, files]).await
}

async fn client_of<'a>(
    app: &'a TestApp,
    id: &str,
    scope: &str,
    resources: Vec<ResourceUri>,
) -> TestClient<'a> {
    app.client_with(id, scope, |draft| draft.resources = Some(resources))
        .await
}

/// Signs a person in for a resource, with a scope unless it is empty.
async fn sign_in(client: &TestClient<'_>, name: &str, resource: &str, scope: &str) -> Answer {
    let password = password_of(name);
    client
        .token(&[
            ("grant_type", "password"),
            ("username", name),
            ("password", &password),
            ("resource", resource),
            ("scope", scope),
        ])
        .await
}

async fn set_roles(app: &TestApp, name: &str, roles: &[&str]) {
    app.inside()
        .set_user_roles(name, &role_names(roles), &TestApp::operator())
        .await
        .unwrap();
}

/// Replaces what a role permits and includes.
async fn update_role(
    app: &TestApp,
    name: &str,
    permissions: &str,
    includes: &[&str],
) -> Result<(), AdminError> {
    let role = Role {
        name: RoleName::parse(name).unwrap(),
        permissions: ScopeSet::parse(permissions).unwrap(),
        includes: role_names(includes),
        created_at: app.now(),
    };
    app.inside().update_role(&role, &TestApp::operator()).await
}

async fn delete_role(app: &TestApp, name: &str) -> Result<(), AdminError> {
    let name = RoleName::parse(name).unwrap();
    app.inside().delete_role(&name, &TestApp::operator()).await
}

/// Scope and roles of the access token; the answer says the same scope.
fn granted(answer: &Answer) -> (String, Value) {
    assert_eq!(answer.outcome(), "200");
    let claims = answer.claims();
    let text = |member: &str| claims.get(member).cloned().unwrap_or_default();
    assert_eq!(text("scope"), answer.str("scope"));
    (answer.str("scope").to_owned(), text("roles"))
}

#[tokio::test]
async fn the_closure_of_roles_decides_where_a_resource_goes_by_role() {
    let app = TestApp::start().await;
    let web = house(&app).await;
    app.role("auditor", "files:read audit:read", &[]).await;
    let people: [(&str, &[&str], &str, Value); 6] = [
        ("nobody", &[], "openid", json!([])),
        ("vera", &["viewer"], "items:read openid", json!(["viewer"])),
        (
            "edith",
            &["editor"],
            "items:read items:write openid",
            json!(["editor", "viewer"]),
        ),
        (
            "adam",
            &["admin"],
            "items:delete items:read items:write openid",
            json!(["admin", "editor", "viewer"]),
        ),
        // Twice is once; what neither client nor resource knows is not given.
        (
            "both",
            &["viewer", "editor", "auditor"],
            "items:read items:write openid",
            json!(["auditor", "editor", "viewer"]),
        ),
        ("audrey", &["auditor"], "openid", json!(["auditor"])),
    ];
    for (name, direct, scope, roles) in people {
        app.user(name, direct).await;
        let first = sign_in(&web, name, API, "").await;
        assert_eq!(granted(&first), (scope.to_owned(), roles.clone()), "{name}");
        assert_eq!(first.claims()["aud"], API);
        let second = web.refresh(first.str("refresh_token")).await;
        assert_eq!(granted(&second), (scope.to_owned(), roles), "{name}");
    }
}

#[tokio::test]
async fn elsewhere_client_and_consent_decide_and_roles_are_only_told() {
    let app = TestApp::start().await;
    let web = house(&app).await;
    let local = client_of(&app, "local", "openid local:write", Vec::new()).await;
    app.user("nobody", &[]).await;
    app.user("vera", &["viewer"]).await;
    for (name, roles) in [("nobody", json!([])), ("vera", json!(["viewer"]))] {
        let at_files = sign_in(&web, name, FILES, "").await;
        assert_eq!(
            granted(&at_files),
            ("files:read openid".to_owned(), roles.clone())
        );
        let at_issuer = local.sign_in(name).await;
        assert_eq!(granted(&at_issuer), ("local:write openid".to_owned(), roles));
        assert_eq!(at_issuer.claims()["aud"], app.issuer);
    }
}

#[tokio::test]
async fn a_client_for_itself_has_no_roles_and_is_not_narrowed() {
    let app = TestApp::start().await;
    let web = house(&app).await;
    let answer = web
        .token(&[("grant_type", "client_credentials"), ("resource", API)])
        .await;
    assert_eq!(answer.str("scope"), "items:delete items:read items:write");
    assert_eq!(answer.claims().get("roles"), None);
}

#[tokio::test]
async fn roles_widen_nothing_that_the_client_or_the_request_left_out() {
    let app = TestApp::start().await;
    house(&app).await;
    let api = ResourceUri::parse(API).unwrap();
    let reader = client_of(&app, "reader", "openid items:read", vec![api]).await;
    app.user("adam", &["admin"]).await;
    let answer = sign_in(&reader, "adam", API, "").await;
    assert_eq!(granted(&answer).0, "items:read openid");
    let answer = sign_in(&reader, "adam", API, "items:write").await;
    assert_eq!(answer.outcome(), "400 invalid_scope scope_not_allowed");
    let answer = sign_in(&reader, "adam", API, "openid").await;
    assert_eq!(granted(&answer).0, "openid");
}

#[tokio::test]
async fn asking_for_more_than_the_roles_permit_gives_what_they_permit() {
    let app = TestApp::start().await;
    let web = house(&app).await;
    app.user("vera", &["viewer"]).await;
    let answer = sign_in(&web, "vera", API, "items:read items:write").await;
    assert_eq!(granted(&answer).0, "items:read");
    let answer = sign_in(&web, "vera", API, "items:write").await;
    assert_eq!(granted(&answer).0, "");
    let narrower = web
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", answer.str("refresh_token")),
            ("scope", "items:write"),
        ])
        .await;
    assert_eq!(granted(&narrower).0, "");
}

#[tokio::test]
async fn new_roles_take_effect_at_the_next_refresh_both_ways() {
    let app = TestApp::start().await;
    let web = house(&app).await;
    app.user("alice", &["viewer"]).await;
    let mut answer = sign_in(&web, "alice", API, "openid items:read items:write").await;
    assert_eq!(
        granted(&answer),
        ("items:read openid".to_owned(), json!(["viewer"]))
    );
    let changes: [(&[&str], &str, Value); 4] = [
        (
            &["editor"],
            "items:read items:write openid",
            json!(["editor", "viewer"]),
        ),
        (&["viewer"], "items:read openid", json!(["viewer"])),
        (&[], "openid", json!([])),
        // Never beyond what was granted at the sign-in.
        (
            &["admin"],
            "items:read items:write openid",
            json!(["admin", "editor", "viewer"]),
        ),
    ];
    for (direct, scope, roles) in changes {
        let before = answer.str("access_token").to_owned();
        set_roles(&app, "alice", direct).await;
        // Nobody is signed out by it: the token that is out lives to its end.
        assert!(web.is_active(&before).await, "{direct:?}");
        answer = web.refresh(answer.str("refresh_token")).await;
        assert_eq!(granted(&answer), (scope.to_owned(), roles), "{direct:?}");
        // The grant itself stays as wide as it was.
        assert_eq!(answer.refresh_claims()["scope"], "items:read items:write openid");
    }
}

#[tokio::test]
async fn a_changed_role_takes_effect_at_the_next_refresh() {
    let app = TestApp::start().await;
    let web = house(&app).await;
    app.user("edith", &["editor"]).await;
    let first = sign_in(&web, "edith", API, "").await;
    assert_eq!(granted(&first).0, "items:read items:write openid");
    update_role(&app, "viewer", "", &[]).await.unwrap();
    let second = web.refresh(first.str("refresh_token")).await;
    assert_eq!(
        granted(&second),
        ("items:write openid".to_owned(), json!(["editor", "viewer"]))
    );
    update_role(&app, "editor", "items:delete", &[]).await.unwrap();
    let third = web.refresh(second.str("refresh_token")).await;
    assert_eq!(
        granted(&third),
        ("items:delete openid".to_owned(), json!(["editor"]))
    );
    // A circle is refused, however long, and changes nothing.
    update_role(&app, "viewer", "items:read", &["admin"])
        .await
        .unwrap();
    for (name, includes) in [("editor", "viewer"), ("admin", "admin")] {
        let refused = update_role(&app, name, "items:delete", &[includes]).await;
        assert!(matches!(refused, Err(AdminError::Invalid(_))), "{refused:?}");
    }
    let fourth = web.refresh(third.str("refresh_token")).await;
    assert_eq!(
        granted(&fourth),
        ("items:delete openid".to_owned(), json!(["editor"]))
    );
}

#[tokio::test]
async fn a_deleted_role_is_gone_at_the_next_refresh_and_does_not_come_back() {
    let app = TestApp::start().await;
    let web = house(&app).await;
    app.user("adam", &["admin", "viewer"]).await;
    let first = sign_in(&web, "adam", API, "").await;
    assert_eq!(granted(&first).1, json!(["admin", "editor", "viewer"]));
    // One that another includes stays, so that nobody loses more than was meant.
    for included in ["viewer", "editor"] {
        let refused = delete_role(&app, included).await;
        assert!(matches!(refused, Err(AdminError::Refused(_))), "{refused:?}");
    }
    delete_role(&app, "admin").await.unwrap();
    let second = web.refresh(first.str("refresh_token")).await;
    assert_eq!(
        granted(&second),
        ("items:read openid".to_owned(), json!(["viewer"]))
    );
    // A new role of the same name is another role: nobody has it.
    app.role("admin", "items:delete", &["editor"]).await;
    let third = web.refresh(second.str("refresh_token")).await;
    assert_eq!(
        granted(&third),
        ("items:read openid".to_owned(), json!(["viewer"]))
    );
    let missing = delete_role(&app, "nothing").await;
    assert!(
        matches!(missing, Err(AdminError::NotFound { what: "role", .. })),
        "{missing:?}"
    );
}

#[tokio::test]
async fn only_roles_that_exist_are_given() {
    let app = TestApp::start().await;
    let web = house(&app).await;
    app.user("alice", &["viewer"]).await;
    let set = app
        .inside()
        .set_user_roles("alice", &role_names(&["editor", "nothing"]), &TestApp::operator())
        .await;
    assert!(matches!(set, Err(AdminError::Refused(_))), "{set:?}");
    // None of them was set.
    let answer = sign_in(&web, "alice", API, "").await;
    assert_eq!(granted(&answer).1, json!(["viewer"]));
    let included = update_role(&app, "viewer", "items:read", &["nothing"]).await;
    assert!(
        matches!(included, Err(AdminError::NotFound { what: "role", .. })),
        "{included:?}"
    );
}

#[tokio::test]
async fn a_resource_that_turns_to_roles_narrows_from_the_next_token_on() {
    let app = TestApp::start().await;
    let web = house(&app).await;
    app.user("alice", &[]).await;
    let first = sign_in(&web, "alice", FILES, "").await;
    assert_eq!(granted(&first).0, "files:read openid");
    let resources = app.inside().list_resources().await.unwrap();
    let mut files = resources
        .into_iter()
        .find(|resource| resource.uri.as_str() == FILES)
        .unwrap();
    files.by_role = true;
    app.inside()
        .update_resource(&files, &TestApp::operator())
        .await
        .unwrap();
    let second = web.refresh(first.str("refresh_token")).await;
    assert_eq!(granted(&second).0, "openid");
}
