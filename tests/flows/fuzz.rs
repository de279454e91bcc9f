//! Readers of hostile bytes, over many thousand mutations of good inputs, the same ones each time.
#![expect(clippy::indexing_slicing, reason = "every index is drawn below the length")]

use std::panic::catch_unwind;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use vouchsafe_jose::UnverifiedJws;
use vouchsafe_protocol::{BasicCredentials, Form};
use vouchsafe_tests::{fuzz_basic, fuzz_form, fuzz_jws, fuzz_refresh_token, fuzz_tokens};

const ROUNDS: usize = 20_000;
const LONGEST: usize = 4_096;

/// Bytes that mean something to one of the readers.
const TELLING: &[u8] = b"&=%+.:;,-_/\\\"{}[] \t\r\n\0\x1f\x7f\x80\xc0\xed\xf4\xff0aAfFzZ";

/// Marsaglia's xorshift: no randomness worth the name, and the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Any number below this one, and 0 below 0.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.throw() % limit).unwrap_or(0)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// One small change.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(input.len());
    let end = input.len().min(at + 1 + dice.below(16));
    match dice.below(8) {
        0 if !input.is_empty() => input[at] ^= 1 << dice.below(8),
        1 if !input.is_empty() => input[at] = *dice.one_of(TELLING),
        2 => input.insert(at, *dice.one_of(TELLING)),
        3 => drop(input.drain(at..end)),
        4 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        5 => input.truncate(at),
        6 => {
            let other = dice.one_of(corpus);
            let from = dice.below(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            let escaped = format!("%{:02x}", dice.below(256));
            input.splice(at..at, escaped.into_bytes());
        }
    }
    input.truncate(LONGEST);
}

fn holds_for(target: fn(&[u8]), input: &[u8]) {
    let outcome = catch_unwind(|| target(input));
    assert!(outcome.is_ok(), "fails on {input:?}");
}

fn run(target: fn(&[u8]), corpus: &[Vec<u8>]) {
    for good in corpus {
        holds_for(target, good);
    }
    holds_for(target, b"");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..ROUNDS {
        let mut input = dice.one_of(corpus).clone();
        for _ in 0..=dice.below(4) {
            mutate(&mut input, corpus, &mut dice);
        }
        holds_for(target, &input);
    }
}

fn owned<T: AsRef<[u8]>>(inputs: &[T]) -> Vec<Vec<u8>> {
    inputs.iter().map(|input| input.as_ref().to_vec()).collect()
}

#[test]
fn h10_h15_h16_forms_are_read_strictly_whatever_comes() {
    let forms = [
        "grant_type=client_credentials&client_id=web&client_secret=s%3Cecret&scope=a+b",
        "grant_type=password&username=al%C3%A4&password=p%25q+r&resource=https%3A%2F%2Fapi.example%2F",
        "grant_type=refresh_token&refresh_token=aaa.bbb.ccc&scope=&resource=urn:x",
        "token=abc&token_type_hint=access_token&client_assertion=x&client_assertion_type=y",
        "a=1&b&c=&=&&d=%e2%82%ac",
        "a=b=c&A=b",
    ];
    let mut good = owned(&forms);
    good.retain(|form| Form::parse(form).is_ok());
    assert_eq!(good.len(), 5, "the one with a nameless pair is no form");
    let most: Vec<String> = (0..Form::MAX_PARAMETERS)
        .map(|number| format!("p{number}={number}"))
        .collect();
    let mut corpus = owned(&forms);
    corpus.push(most.join("&").into_bytes());
    run(fuzz_form, &corpus);
    for length in [Form::MAX_BYTES, Form::MAX_BYTES + 1] {
        let long = format!("a={}", "x".repeat(length - 2));
        holds_for(fuzz_form, long.as_bytes());
    }
    let too_many = format!("{}&one=more", most.join("&"));
    holds_for(fuzz_form, too_many.as_bytes());
}

#[test]
fn t02_basic_headers_are_read_strictly_whatever_comes() {
    let pairs = [
        "web:secret",
        "w%65b:s%3Aecret+x",
        "a:",
        "a:b:c",
        "caf%C3%A9:\u{e9}",
    ];
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for pair in pairs {
        corpus.push(format!("Basic {}", STANDARD.encode(pair)).into_bytes());
        corpus.push(
            format!("bASIC  {}", STANDARD.encode(pair))
                .trim_end_matches('=')
                .into(),
        );
    }
    for header in &corpus {
        assert!(BasicCredentials::parse(header).is_ok());
    }
    run(fuzz_basic, &corpus);
    // What base64 hides from a change of its text: the pair itself, changed.
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let pairs = owned(&pairs);
    for _ in 0..ROUNDS {
        let mut pair = dice.one_of(&pairs).clone();
        for _ in 0..=dice.below(4) {
            mutate(&mut pair, &pairs, &mut dice);
        }
        let header = format!("Basic {}", STANDARD.encode(&pair));
        holds_for(fuzz_basic, header.as_bytes());
    }
}

#[test]
fn j01_tokens_are_read_strictly_and_none_is_forged_whatever_comes() {
    let tokens = fuzz_tokens();
    let [access, refresh] = &tokens;
    assert!(UnverifiedJws::parse(access).is_ok() && UnverifiedJws::parse(refresh).is_ok());
    let with_header = |header: &str| {
        let (_, rest) = access.split_once('.').unwrap();
        format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
    };
    let mut corpus = owned(&tokens);
    corpus.extend(owned(&[
        with_header(r#"{"alg":"none","typ":"at+jwt"}"#),
        with_header(r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#),
        with_header(r#"{"typ":"at+jwt","alg":"ES256","kid":"k","crit":["x"]}"#),
        with_header(r#"{"typ":"application/at+jwt","alg":"ES256","kid":"k","cty":"x"}"#),
        "e30.e30.AA".to_owned(),
    ]));
    run(fuzz_jws, &corpus);
    // What base64 hides from a change of its text: the header itself, changed.
    let header = br#"{"typ":"at+jwt","alg":"ES256","kid":"k","cty":"x"}"#;
    let headers = owned(&[header.as_slice(), br#"{"alg":"nOnE","typ":"","jwk":{}}"#]);
    let (_, rest) = access.split_once('.').unwrap();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for _ in 0..ROUNDS {
        let mut header = dice.one_of(&headers).clone();
        for _ in 0..=dice.below(4) {
            mutate(&mut header, &headers, &mut dice);
        }
        let token = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(&header));
        holds_for(fuzz_jws, token.as_bytes());
    }
}

#[test]
fn t50_no_garbled_refresh_token_passes_whatever_is_changed() {
    let tokens = fuzz_tokens();
    run(fuzz_refresh_token, &owned(&tokens));
    // Every bit of every character, one at a time.
    let [_, refresh] = &tokens;
    for at in 0..refresh.len() {
        let [high, low] = u16::try_from(at).unwrap().to_be_bytes();
        for bit in 0..7 {
            holds_for(fuzz_refresh_token, &[high, low, 1 << bit]);
        }
    }
}
