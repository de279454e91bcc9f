//! The crate `openidconnect` as its users write it: discovery, the code flow with PKCE, the ID token and its nonce, the
//! person's claims, and a refresh.

use std::collections::HashMap;

use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::reqwest::blocking::{Client, ClientBuilder};
use openidconnect::reqwest::redirect::Policy;
use openidconnect::url::Url;
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    Scope, TokenResponse as _,
};
use vouchsafe_openidconnect_tests::{Arrival, Demo, Outcome, Person, Server};

/// Nobody listens there: the way back is only read.
const REDIRECT: &str = "http://127.0.0.1:53682/callback";

/// The client that discovery makes.
type Discovered = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What one authorization request leaves behind.
struct Asked {
    url: Url,
    state: CsrfToken,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

fn http() -> Outcome<Client> {
    Ok(ClientBuilder::new().redirect(Policy::none()).no_proxy().build()?)
}

fn discover(demo: &Demo, http: &Client) -> Outcome<Discovered> {
    let metadata = CoreProviderMetadata::discover(&IssuerUrl::new(demo.issuer.clone())?, http)?;
    let client = CoreClient::from_provider_metadata(
        metadata,
        ClientId::new(demo.client_id.clone()),
        Some(ClientSecret::new(demo.client_secret.clone())),
    );
    Ok(client.set_redirect_uri(RedirectUrl::new(REDIRECT.to_owned())?))
}

fn ask(client: &Discovered) -> Asked {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(Scope::new("offline_access".to_owned()))
        .add_scope(Scope::new("demo:read".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    Asked {
        url,
        state,
        nonce,
        verifier,
    }
}

/// Signs in where that is asked for, and decides where that is asked for.
fn answer(person: &mut Person, demo: &Demo, url: Url, decision: &str) -> Outcome<HashMap<String, String>> {
    let mut arrival = person.open(url)?;
    if let Arrival::Page(page) = &arrival
        && page.url.path() == "/sign-in"
    {
        let credentials = [
            ("username", demo.username.as_str()),
            ("password", demo.password.as_str()),
        ];
        arrival = person.submit(page, &credentials)?;
    }
    if let Arrival::Page(page) = &arrival
        && page.url.path() == "/consent"
    {
        arrival = person.submit(page, &[("decision", decision)])?;
    }
    let back = arrival.away()?;
    assert!(back.as_str().starts_with(REDIRECT), "{back}");
    Ok(back.query_pairs().into_owned().collect())
}

fn redeem(
    client: &Discovered,
    http: &Client,
    code: &str,
    verifier: PkceCodeVerifier,
) -> Outcome<CoreTokenResponse> {
    Ok(client
        .exchange_code(AuthorizationCode::new(code.to_owned()))?
        .set_pkce_verifier(verifier)
        .request(http)?)
}

fn any_nonce(_: Option<&Nonce>) -> Result<(), String> {
    Ok(())
}

#[test]
fn cl1_cl5_a_person_signs_in_and_the_id_token_the_claims_and_a_refresh_hold() -> Outcome<()> {
    let server = Server::start()?;
    let demo = &server.demo;
    let http = http()?;
    let client = discover(demo, &http)?;
    let mut person = Person::new(&http, &demo.issuer)?;

    let asked = ask(&client);
    let back = answer(&mut person, demo, asked.url, "allow")?;
    assert_eq!(back.get("state"), Some(asked.state.secret()));
    assert_eq!(back.get("iss"), Some(&demo.issuer));
    let code = back.get("code").ok_or("no code")?;
    let tokens = redeem(&client, &http, code, asked.verifier)?;
    let granted: Vec<&str> = tokens.scopes().into_iter().flatten().map(|scope| scope.as_str()).collect();
    for scope in ["openid", "offline_access", "demo:read"] {
        assert!(granted.contains(&scope), "{scope} in {granted:?}");
    }

    let verifier = client.id_token_verifier();
    let id_token = tokens.id_token().ok_or("no ID token")?;
    assert!(id_token.claims(&verifier, &Nonce::new_random()).is_err());
    let claims = id_token.claims(&verifier, &asked.nonce)?;
    assert!(claims.auth_time().is_some());
    let hash = AccessTokenHash::from_token(
        tokens.access_token(),
        id_token.signing_alg()?,
        id_token.signing_key(&verifier)?,
    )?;
    assert_eq!(claims.access_token_hash(), Some(&hash));

    let subject = claims.subject().clone();
    let access_token = tokens.access_token().to_owned();
    let user: CoreUserInfoClaims = client
        .user_info(access_token, Some(subject.clone()))?
        .request(&http)?;
    assert_eq!(user.subject(), &subject);

    let refresh_token = tokens.refresh_token().ok_or("no refresh token")?;
    let next: CoreTokenResponse = client.exchange_refresh_token(refresh_token)?.request(&http)?;
    if let Some(id_token) = next.id_token() {
        assert_eq!(id_token.claims(&verifier, any_nonce)?.subject(), &subject);
    }

    let newest = next.refresh_token().ok_or("no successor")?;
    assert_ne!(newest.secret(), refresh_token.secret());
    Ok(())
}

#[test]
fn t24_a27_a_refusal_comes_back_whole_and_a_code_wants_its_verifier() -> Outcome<()> {
    let server = Server::start()?;
    let demo = &server.demo;
    let http = http()?;
    let client = discover(demo, &http)?;
    let mut person = Person::new(&http, &demo.issuer)?;

    let asked = ask(&client);
    let back = answer(&mut person, demo, asked.url, "deny")?;
    assert_eq!(back.get("error").map(String::as_str), Some("access_denied"));
    assert_eq!(back.get("state"), Some(asked.state.secret()));
    assert_eq!(back.get("iss"), Some(&demo.issuer));
    assert_eq!(back.get("code"), None);

    let asked = ask(&client);
    let back = answer(&mut person, demo, asked.url, "allow")?;
    let code = back.get("code").ok_or("no code")?;
    let (_, another) = PkceCodeChallenge::new_random_sha256();
    assert!(redeem(&client, &http, code, another).is_err());
    Ok(())
}
