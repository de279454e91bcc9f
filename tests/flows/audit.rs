//! The audit: each change of state writes one row that says what, who and whom, and nothing that must stay secret;
//! what changes nothing writes none.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use vouchsafe_issuer::apply::{Desired, Mode};
use vouchsafe_issuer::{AdminError, ClientDraft, UserDraft};
use vouchsafe_keys::{MasterKey, Purpose, Urgency};
use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, FamilyId, GrantType, Kid, ResourceUri, RoleName, ScopeSet, SecretString,
};
use vouchsafe_store::AuditRecord;
use vouchsafe_tests::{Answer, TestApp, password_of};

const OPERATOR: (&str, Option<&str>) = ("operator", Some("tester@here"));
const MINUTE: Duration = Duration::from_secs(61);

/// The audit of an application, read from where it was read last.
struct Trail<'a> {
    app: &'a TestApp,
    seen: i64,
    /// All that was read so far, as text.
    text: String,
}

impl<'a> Trail<'a> {
    async fn of(app: &'a TestApp) -> Self {
        let text = String::new();
        let mut trail = Self { app, seen: 0, text };
        trail.fresh().await;
        trail
    }

    /// The rows written since the last reading, oldest first.
    async fn fresh(&mut self) -> Vec<AuditRecord> {
        let store = self.app.inside().store();
        let mut rows = store.audit_tail(1_000).await.unwrap();
        rows.retain(|row| row.id > self.seen);
        rows.reverse();
        if let Some(last) = rows.last() {
            self.seen = last.id;
        }
        self.text.push_str(&serde_json::to_string(&rows).unwrap());
        rows
    }

    /// The names of these rows.
    async fn events(&mut self) -> Vec<String> {
        self.fresh().await.into_iter().map(|row| row.event).collect()
    }

    /// The one row since the last reading: this event, by this actor, now.
    async fn one(&mut self, event: &str, actor: (&str, Option<&str>)) -> AuditRecord {
        let mut rows = self.fresh().await;
        let events: Vec<&str> = rows.iter().map(|row| row.event.as_str()).collect();
        assert_eq!(events, [event]);
        let row = rows.remove(0);
        assert_eq!((row.actor_kind.as_str(), row.actor.as_deref()), actor, "{event}");
        assert_eq!(row.at, self.app.now(), "{event}");
        row
    }

    async fn none(&mut self, after: &str) {
        assert_eq!(self.events().await, Vec::<String>::new(), "{after}");
    }

    /// None of these stands anywhere in what was read.
    fn hides(&self, secrets: &[&str]) {
        assert!(!self.text.contains("$argon2"), "a password hash");
        for secret in secrets {
            assert!(secret.len() >= 8);
            assert!(!self.text.contains(secret), "{secret}");
        }
    }
}

fn detail(row: &AuditRecord, member: &str) -> Value {
    let detail: Value = serde_json::from_str(&row.detail).unwrap();
    detail.get(member).cloned().unwrap_or(Value::Null)
}

fn role(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

fn secret(text: &str) -> SecretString {
    SecretString::new(text.to_owned())
}

fn sid_of(answer: &Answer) -> FamilyId {
    let claims = answer.claims();
    FamilyId::parse(claims.get("sid").and_then(Value::as_str).unwrap()).unwrap()
}

fn refused<T>(result: Result<T, AdminError>) -> bool {
    !matches!(result, Ok(_) | Err(AdminError::Failed(_)))
}

#[tokio::test]
async fn each_verb_on_roles_and_resources_writes_one_row() {
    let app = TestApp::start().await;
    let (inside, operator) = (app.inside(), TestApp::operator());
    let mut trail = Trail::of(&app).await;

    app.role("viewer", "items:read", &[]).await;
    let row = trail.one("role_created", OPERATOR).await;
    assert_eq!(detail(&row, "role"), "viewer");

    let mut viewer = inside.list_roles().await.unwrap().remove(0);
    viewer.permissions = ScopeSet::parse("items:read items:list").unwrap();
    inside.update_role(&viewer, &operator).await.unwrap();
    let row = trail.one("role_updated", OPERATOR).await;
    assert_eq!(detail(&row, "role"), "viewer");

    inside.delete_role(&viewer.name, &operator).await.unwrap();
    let row = trail.one("role_deleted", OPERATOR).await;
    assert_eq!(detail(&row, "role"), "viewer");

    let uri = app.resource("https://api.example/", "items:read").await;
    let row = trail.one("resource_created", OPERATOR).await;
    assert_eq!(detail(&row, "resource"), uri.as_str());

    let mut api = inside.list_resources().await.unwrap().remove(0);
    api.closed = true;
    inside.update_resource(&api, &operator).await.unwrap();
    let row = trail.one("resource_updated", OPERATOR).await;
    assert_eq!(detail(&row, "resource"), uri.as_str());

    inside.delete_resource(&uri, &operator).await.unwrap();
    let row = trail.one("resource_deleted", OPERATOR).await;
    assert_eq!(detail(&row, "resource"), uri.as_str());
}

#[tokio::test]
async fn each_verb_on_clients_writes_one_row() {
    let app = TestApp::start().await;
    let (inside, operator) = (app.inside(), TestApp::operator());
    app.user("alice", &[]).await;
    let mut trail = Trail::of(&app).await;
    let id = ClientId::parse("machine").unwrap();

    let draft = ClientDraft {
        grants: Some(vec![GrantType::ClientCredentials]),
        ..ClientDraft::default()
    };
    let created = inside
        .create_client(Some(id.clone()), &draft, None, &operator)
        .await
        .unwrap();
    let row = trail.one("client_created", OPERATOR).await;
    assert_eq!(row.client_id.as_deref(), Some("machine"));

    let rename = ClientDraft {
        name: Some("Machine".to_owned()),
        ..ClientDraft::default()
    };
    inside.update_client(&id, &rename, &operator).await.unwrap();
    let row = trail.one("client_updated", OPERATOR).await;
    assert_eq!(row.client_id.as_deref(), Some("machine"));
    assert_eq!(detail(&row, "disabled"), false);

    let rotated = inside
        .rotate_client_secret(&id, None, false, &operator)
        .await
        .unwrap();
    let row = trail.one("client_secret_rotated", OPERATOR).await;
    assert_eq!(row.client_id.as_deref(), Some("machine"));

    // Families end with their client, and the one row says it.
    let web = app.client("web", "openid").await;
    web.sign_in("alice").await;
    web.sign_in("alice").await;
    trail.fresh().await;
    let disable = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    let web_id = ClientId::parse(web.id).unwrap();
    inside.update_client(&web_id, &disable, &operator).await.unwrap();
    let row = trail.one("client_updated", OPERATOR).await;
    assert_eq!(detail(&row, "disabled"), true);

    inside.delete_client(&id, &operator).await.unwrap();
    let row = trail.one("client_deleted", OPERATOR).await;
    assert_eq!(row.client_id.as_deref(), Some("machine"));
    trail.hides(&[
        created.secret.unwrap().expose(),
        rotated.secret.unwrap().expose(),
        vouchsafe_tests::CLIENT_SECRET,
    ]);
}

#[tokio::test]
async fn each_verb_on_people_writes_one_row() {
    let app = TestApp::start().await;
    let (inside, operator) = (app.inside(), TestApp::operator());
    app.role("viewer", "items:read", &[]).await;
    let mut trail = Trail::of(&app).await;

    let subject = app.user("alice", &["viewer"]).await;
    let mut rows = vec![trail.one("user_created", OPERATOR).await];

    inside.set_user_roles("alice", &[], &operator).await.unwrap();
    rows.push(trail.one("user_roles_set", OPERATOR).await);

    let password = secret("another password of alice");
    inside
        .set_user_password("alice", &password, &operator)
        .await
        .unwrap();
    rows.push(trail.one("user_password_set", OPERATOR).await);

    inside.set_user_locked("alice", true, &operator).await.unwrap();
    rows.push(trail.one("user_locked", OPERATOR).await);

    inside.set_user_locked("alice", false, &operator).await.unwrap();
    rows.push(trail.one("user_unlocked", OPERATOR).await);

    inside.delete_user("alice", &operator).await.unwrap();
    rows.push(trail.one("user_deleted", OPERATOR).await);
    for row in rows {
        assert_eq!(row.subject.as_deref(), Some(subject.as_str()), "{}", row.event);
    }
    trail.hides(&[&password_of("alice"), password.expose()]);
}

#[tokio::test]
async fn each_end_of_sessions_and_tokens_by_an_operator_writes_one_row() {
    let app = TestApp::start().await;
    let (inside, operator) = (app.inside(), TestApp::operator());
    let web = app.client("web", "openid").await;
    let subject = app.user("alice", &[]).await;
    let mut trail = Trail::of(&app).await;

    let first = web.sign_in("alice").await;
    let row = trail.one("family_begun", ("user", Some(&subject))).await;
    assert_eq!(row.client_id.as_deref(), Some("web"));
    assert_eq!(row.subject.as_deref(), Some(subject.as_str()));
    assert_eq!(row.sid.as_deref(), Some(sid_of(&first).as_str()));

    inside.revoke_session(&sid_of(&first), &operator).await.unwrap();
    let row = trail.one("family_revoked", OPERATOR).await;
    assert_eq!(row.sid.as_deref(), Some(sid_of(&first).as_str()));
    assert!(refused(inside.revoke_session(&sid_of(&first), &operator).await));
    trail.none("a session that ended before").await;

    for _ in 0..3 {
        web.sign_in("alice").await;
    }
    trail.fresh().await;
    assert_eq!(
        inside.revoke_sessions_of_user("alice", &operator).await.unwrap(),
        3
    );
    let row = trail.one("family_revoked", OPERATOR).await;
    assert_eq!(row.subject.as_deref(), Some(subject.as_str()));

    app.advance(MINUTE).await;
    web.sign_in("alice").await;
    trail.fresh().await;
    let id = ClientId::parse("web").unwrap();
    assert_eq!(inside.revoke_sessions_of_client(&id, &operator).await.unwrap(), 1);
    let row = trail.one("family_revoked", OPERATOR).await;
    assert_eq!(row.client_id.as_deref(), Some("web"));

    app.advance(MINUTE).await;
    let second = web.sign_in("alice").await;
    trail.fresh().await;
    let access = secret(second.str("access_token"));
    inside.revoke_token(&access, &operator).await.unwrap();
    let row = trail.one("access_token_revoked", OPERATOR).await;
    assert_eq!(detail(&row, "jti"), second.claims()["jti"]);
    assert!(refused(inside.revoke_token(&access, &operator).await));
    trail.none("an access token that was revoked before").await;

    let refresh = secret(second.str("refresh_token"));
    inside.revoke_token(&refresh, &operator).await.unwrap();
    let row = trail.one("family_revoked", OPERATOR).await;
    assert_eq!(row.sid.as_deref(), Some(sid_of(&second).as_str()));
    trail.hides(&[access.expose(), refresh.expose(), &password_of("alice")]);
}

#[tokio::test]
async fn each_verb_on_keys_writes_one_row() {
    let app = TestApp::start().await;
    let (inside, operator) = (app.inside(), TestApp::operator());
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    web.sign_in("alice").await;
    web.sign_in("alice").await;
    let mut trail = Trail::of(&app).await;

    let forced = Urgency::Now { force: true };
    let lines = inside.signing_lines();
    assert!(inside.rotate_keys(&lines, forced, &operator).await.unwrap() > 0);
    let row = trail.one("keys_rotated", OPERATOR).await;
    assert_eq!(
        (detail(&row, "now"), detail(&row, "forced")),
        (json!(true), json!(true))
    );

    let active = |purpose: Purpose| async move {
        let keys = inside.list_keys().await.unwrap();
        let found = keys
            .into_iter()
            .find(|key| key.purpose == purpose && key.state == "active");
        found.unwrap().kid
    };
    let signing = active(Purpose::Signing).await;
    inside.revoke_key(&signing, &operator).await.unwrap();
    let row = trail.one("key_revoked", OPERATOR).await;
    assert_eq!(detail(&row, "kid"), signing.as_str());
    assert!(refused(inside.revoke_key(&signing, &operator).await));
    trail.none("a key that was revoked before").await;

    // The families under it end with it, and the one row says it.
    let mac = active(Purpose::RefreshMac).await;
    assert_eq!(inside.revoke_key(&mac, &operator).await.unwrap(), 2);
    let row = trail.one("key_revoked", OPERATOR).await;
    assert_eq!(detail(&row, "kid"), mac.as_str());

    let master = MasterKey::generate().unwrap();
    assert!(inside.rewrap_keys(&master, &operator).await.unwrap() > 0);
    let row = trail.one("keys_rewrapped", OPERATOR).await;
    assert_eq!(detail(&row, "master_key"), master.id());
    trail.hides(&[master.to_base64().expose()]);
}

#[tokio::test]
async fn what_the_clock_does_to_keys_is_by_the_system() {
    let app = TestApp::start().await;
    let mut trail = Trail::of(&app).await;
    app.advance(Duration::from_secs(31 * 86_400)).await;
    let rows = trail.fresh().await;
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!(
            (row.event.as_str(), row.actor_kind.as_str(), row.actor.as_deref()),
            ("keys_advanced", "system", None)
        );
    }
    app.advance(Duration::ZERO).await;
    trail.none("a tick with nothing to do").await;
}

#[tokio::test]
async fn a_verb_that_is_refused_writes_nothing() {
    let app = TestApp::start().await;
    let (inside, operator) = (app.inside(), TestApp::operator());
    app.role("viewer", "items:read", &[]).await;
    app.role("editor", "items:write", &["viewer"]).await;
    app.resource("https://api.example/", "items:read").await;
    let browser = app.public_client("browser", "openid").await;
    app.user("alice", &[]).await;
    let mut trail = Trail::of(&app).await;

    let viewer = inside.list_roles().await.unwrap().pop().unwrap();
    assert!(refused(inside.create_role(&viewer, &operator).await));
    assert!(refused(inside.delete_role(&role("viewer"), &operator).await));
    assert!(refused(inside.delete_role(&role("nobody"), &operator).await));
    trail.none("roles").await;

    let mut api = inside.list_resources().await.unwrap().remove(0);
    assert!(refused(inside.create_resource(&api, &operator).await));
    api.server_client_id = Some(ClientId::parse("nobody").unwrap());
    assert!(refused(inside.update_resource(&api, &operator).await));
    let unknown = ResourceUri::parse("https://other.example/").unwrap();
    assert!(refused(inside.delete_resource(&unknown, &operator).await));
    trail.none("resources").await;

    let id = ClientId::parse(browser.id).unwrap();
    let confidential = ClientDraft {
        auth_method: Some(ClientAuthMethod::ClientSecretBasic),
        ..ClientDraft::default()
    };
    let nobody = ClientId::parse("nobody").unwrap();
    assert!(refused(inside.update_client(&id, &confidential, &operator).await));
    assert!(refused(
        inside
            .create_client(Some(id.clone()), &confidential, None, &operator)
            .await
    ));
    assert!(refused(
        inside.rotate_client_secret(&id, None, false, &operator).await
    ));
    assert!(refused(inside.delete_client(&nobody, &operator).await));
    assert!(refused(
        inside.revoke_sessions_of_client(&nobody, &operator).await
    ));
    trail.none("clients").await;

    let bob = UserDraft {
        username: "bob".to_owned(),
        email: None,
        password: None,
        roles: vec![role("nobody")],
    };
    assert!(refused(inside.create_user(&bob, &operator).await));
    assert!(refused(inside.show_user("bob").await));
    let unknown = [role("nobody")];
    assert!(refused(inside.set_user_roles("alice", &unknown, &operator).await));
    assert!(refused(inside.set_user_locked("bob", true, &operator).await));
    let short = secret("short");
    assert!(refused(
        inside.set_user_password("alice", &short, &operator).await
    ));
    assert!(refused(inside.delete_user("bob", &operator).await));
    assert!(refused(inside.revoke_sessions_of_user("bob", &operator).await));
    trail.none("people").await;

    let lines = inside.signing_lines();
    let unforced = Urgency::Now { force: false };
    assert!(refused(inside.rotate_keys(&lines, unforced, &operator).await));
    let unknown = Kid::parse("nobody").unwrap();
    assert!(refused(inside.revoke_key(&unknown, &operator).await));
    let unknown = FamilyId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
    assert!(refused(inside.revoke_session(&unknown, &operator).await));
    assert!(refused(inside.revoke_token(&secret("garbage"), &operator).await));
    trail.none("keys, sessions and tokens").await;
}

#[tokio::test]
async fn applying_a_file_writes_a_row_for_each_change_and_none_for_the_rest() {
    let app = TestApp::start().await;
    let (inside, operator) = (app.inside(), TestApp::operator());
    let mut trail = Trail::of(&app).await;
    let wanted: Desired = serde_json::from_value(json!({
        "role": [{"name": "viewer", "permissions": "items:read"}],
        "resource": [{"uri": "https://api.example/", "scope": "items:read", "server": "api"}],
        "client": [{"client_id": "api", "grant_types": ["client_credentials"]}],
    }))
    .unwrap();
    let mode = |prune, dry_run| Mode { prune, dry_run };
    let mut done = Vec::new();

    let dry_run = mode(true, true);
    inside
        .apply(&wanted, dry_run, &operator, &mut done)
        .await
        .unwrap();
    trail.none("a dry run").await;

    let add = mode(false, false);
    inside.apply(&wanted, add, &operator, &mut done).await.unwrap();
    let expected = [
        "role_created",
        "resource_created",
        "client_created",
        // Its server is there now.
        "resource_updated",
    ];
    assert_eq!(trail.events().await, expected);
    let made = done.iter().find_map(|step| step.secret.as_ref()).unwrap();
    trail.hides(&[made.expose()]);

    let prune = mode(true, false);
    let mut done = Vec::new();
    inside.apply(&wanted, prune, &operator, &mut done).await.unwrap();
    trail.none("the same file again").await;

    let nothing = Desired::default();
    inside.apply(&nothing, prune, &operator, &mut done).await.unwrap();
    let expected = ["client_deleted", "resource_deleted", "role_deleted"];
    assert_eq!(trail.events().await, expected);
}

#[tokio::test]
async fn a_client_that_revokes_writes_one_row_and_a_second_time_none() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    let other = app.client("other", "openid").await;
    app.user("alice", &[]).await;
    let tokens = web.sign_in("alice").await;
    let (access, refresh) = (tokens.str("access_token"), tokens.str("refresh_token"));
    let mut trail = Trail::of(&app).await;

    for token in [access, refresh, "garbage"] {
        other.revoke(token).await;
    }
    trail.none("tokens of another client").await;

    assert_eq!(web.revoke(access).await.status, 200);
    let row = trail.one("access_token_revoked", ("client", Some("web"))).await;
    assert_eq!(row.client_id.as_deref(), Some("web"));
    assert_eq!(detail(&row, "jti"), tokens.claims()["jti"]);
    assert_eq!(web.revoke(access).await.status, 200);
    trail.none("an access token that was revoked before").await;

    assert_eq!(web.revoke(refresh).await.status, 200);
    let row = trail.one("family_revoked", ("client", Some("web"))).await;
    assert_eq!(row.sid.as_deref(), Some(sid_of(&tokens).as_str()));
    assert_eq!(detail(&row, "reason"), "revoked");
    assert_eq!(web.revoke(refresh).await.status, 200);
    trail.none("a family that ended before").await;
    trail.hides(&[access, refresh, vouchsafe_tests::CLIENT_SECRET]);
}

#[tokio::test]
async fn plain_use_and_refusals_write_nothing() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid items:read").await;
    let other = app.client("other", "openid").await;
    app.user("alice", &[]).await;
    let first = web.sign_in("alice").await;
    let mut trail = Trail::of(&app).await;
    let token = first.str("refresh_token");

    let second = web.refresh(token).await;
    assert_eq!(second.outcome(), "200");
    assert_eq!(web.refresh(token).await.outcome(), "200");
    let third = web.refresh(second.str("refresh_token")).await;
    assert_eq!(third.outcome(), "200");
    trail.none("refreshes and a retry").await;

    assert_eq!(web.refresh(token).await.outcome(), "400 invalid_grant superseded");
    assert_eq!(other.refresh(third.str("refresh_token")).await.status, 400);
    assert_eq!(web.refresh("garbage").await.status, 400);
    trail.none("refused refreshes").await;

    assert_eq!(web.credentials().await.outcome(), "200");
    assert!(web.is_active(third.str("access_token")).await);
    trail.none("client credentials and introspection").await;

    let wrong = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", "not the password"),
    ];
    for _ in 0..15 {
        assert_eq!(web.token(&wrong).await.status, 400);
    }
    assert_eq!(web.sign_in("nobody").await.status, 400);
    let posted = [
        ("grant_type", "client_credentials"),
        ("client_id", "web"),
        ("client_secret", "not the secret of this client at all"),
    ];
    let request = app.http.post(format!("{}/token", app.base)).form(&posted);
    assert_eq!(Answer::read(request.send().await.unwrap()).await.status, 401);
    assert_eq!(web.token(&[("grant_type", "magic")]).await.status, 400);
    trail.none("refused requests").await;
}

#[tokio::test]
async fn t42_a_reuse_writes_one_row_however_often_it_is_tried() {
    let app = TestApp::start().await;
    let browser = app.public_client("browser", "openid").await;
    app.user("alice", &[]).await;
    let first = browser.sign_in("alice").await;
    let stolen = first.str("refresh_token");
    let second = browser.refresh(stolen).await;
    app.advance(MINUTE).await;
    let mut trail = Trail::of(&app).await;

    for answer in join_all((0..16).map(|_| browser.refresh(stolen))).await {
        assert_eq!(answer.outcome(), "400 invalid_grant reused");
    }
    let row = trail
        .one("refresh_reuse_detected", ("client", Some("browser")))
        .await;
    assert_eq!(row.client_id.as_deref(), Some("browser"));
    assert_eq!(row.sid.as_deref(), Some(sid_of(&first).as_str()));
    assert_eq!(detail(&row, "seq"), 0);

    let late = browser.refresh(second.str("refresh_token")).await;
    assert_eq!(late.outcome(), "400 invalid_grant reused");
    trail.none("a family that ended before").await;
    trail.hides(&[stolen, second.str("refresh_token")]);
}
