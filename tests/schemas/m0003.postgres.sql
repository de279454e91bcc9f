-- column audit.actor text collate C
-- column audit.actor_kind text collate C not null
-- column audit.at bigint not null
-- column audit.client_id text collate C
-- column audit.detail text collate C not null
-- column audit.event text collate C not null
-- column audit.id bigint identity not null
-- column audit.sid text collate C
-- column audit.subject text collate C
-- column authorization_code.acr text collate C
-- column authorization_code.amr text collate C not null
-- column authorization_code.audience text collate C not null
-- column authorization_code.auth_time bigint not null
-- column authorization_code.claims text collate C
-- column authorization_code.client_id text collate C not null
-- column authorization_code.code text collate C not null
-- column authorization_code.code_challenge text collate C
-- column authorization_code.created_at bigint not null
-- column authorization_code.expires_at bigint not null
-- column authorization_code.family_id text collate C
-- column authorization_code.interaction text collate C not null
-- column authorization_code.nonce text collate C
-- column authorization_code.redeemed_at bigint
-- column authorization_code.redirect_uri text collate C
-- column authorization_code.scope text collate C not null
-- column authorization_code.session_id text collate C not null
-- column authorization_code.subject text collate C not null
-- column beat.at bigint not null
-- column beat.n bigint not null
-- column beat.nonce text collate C not null
-- column change_log.at bigint not null
-- column change_log.key text collate C not null
-- column change_log.kind text collate C not null
-- column change_log.n bigint not null
-- column client.access_ttl bigint
-- column client.application_type text collate C not null
-- column client.auth_method text collate C not null
-- column client.backchannel_logout_uri text collate C
-- column client.brand_color text collate C
-- column client.client_uri text collate C
-- column client.created_at bigint not null
-- column client.disabled_at bigint
-- column client.document_expires_at bigint
-- column client.grants text collate C not null
-- column client.id text collate C not null
-- column client.id_token_algorithm text collate C
-- column client.logo_uri text collate C
-- column client.name text collate C
-- column client.origin text collate C
-- column client.pkce_optional bigint default 0 not null
-- column client.policy_uri text collate C
-- column client.post_logout_redirect_uris text collate C not null
-- column client.redirect_uris text collate C not null
-- column client.refresh_absolute_ttl bigint
-- column client.refresh_idle_ttl bigint
-- column client.registration_kid text collate C
-- column client.registration_mac bytea
-- column client.resources text collate C not null
-- column client.rotation text collate C not null
-- column client.scope text collate C not null
-- column client.sector_identifier text collate C
-- column client.signing_algorithm text collate C
-- column client.skip_consent bigint default 0 not null
-- column client.subject_type text collate C
-- column client.tos_uri text collate C
-- column client.updated_at bigint not null
-- column client_secret.client_id text collate C not null
-- column client_secret.created_at bigint not null
-- column client_secret.expires_at bigint
-- column client_secret.id text collate C not null
-- column client_secret.mac bytea
-- column client_secret.mac_kid text collate C not null
-- column consent.audience text collate C not null
-- column consent.client_id text collate C not null
-- column consent.granted_at bigint not null
-- column consent.scope text collate C not null
-- column consent.subject text collate C not null
-- column consent.updated_at bigint not null
-- column counter.n bigint not null
-- column counter.name text collate C not null
-- column device_code.acr text collate C
-- column device_code.amr text collate C
-- column device_code.audience text collate C not null
-- column device_code.auth_time bigint
-- column device_code.client_id text collate C not null
-- column device_code.created_at bigint not null
-- column device_code.decided_at bigint
-- column device_code.device_code text collate C not null
-- column device_code.expires_at bigint not null
-- column device_code.family_id text collate C
-- column device_code.last_polled_at bigint
-- column device_code.poll_interval bigint not null
-- column device_code.redeemed_at bigint
-- column device_code.scope text collate C not null
-- column device_code.session_id text collate C
-- column device_code.source text collate C
-- column device_code.status text collate C not null
-- column device_code.subject text collate C
-- column device_code.user_code text collate C not null
-- column issuer_key.activates_at bigint not null
-- column issuer_key.algorithm text collate C not null
-- column issuer_key.compromised_at bigint
-- column issuer_key.deactivates_at bigint
-- column issuer_key.kid text collate C not null
-- column issuer_key.public_jwk text collate C
-- column issuer_key.published_at bigint not null
-- column issuer_key.purpose text collate C not null
-- column issuer_key.sealed bytea
-- column issuer_key.sealed_by text collate C
-- column log_head.n bigint not null
-- column log_head.name text collate C not null
-- column logout_delivery.attempts bigint not null
-- column logout_delivery.client_id text collate C not null
-- column logout_delivery.created_at bigint not null
-- column logout_delivery.next_attempt_at bigint not null
-- column logout_delivery.sid text collate C not null
-- column logout_delivery.subject text collate C not null
-- column pairwise_subject.sector text collate C not null
-- column pairwise_subject.sub text collate C not null
-- column pairwise_subject.subject text collate C not null
-- column pushed_request.client_id text collate C not null
-- column pushed_request.created_at bigint not null
-- column pushed_request.expires_at bigint not null
-- column pushed_request.parameters text collate C not null
-- column pushed_request.reference text collate C not null
-- column pushed_request.used_at bigint
-- column refresh_family.absolute_expires_at bigint not null
-- column refresh_family.acr text collate C
-- column refresh_family.amr text collate C not null
-- column refresh_family.audience text collate C not null
-- column refresh_family.auth_time bigint not null
-- column refresh_family.claims text collate C
-- column refresh_family.client_id text collate C not null
-- column refresh_family.created_at bigint not null
-- column refresh_family.current_jti text collate C not null
-- column refresh_family.id text collate C not null
-- column refresh_family.idle_expires_at bigint not null
-- column refresh_family.mac_kid text collate C not null
-- column refresh_family.previous_jti text collate C
-- column refresh_family.recent text collate C not null
-- column refresh_family.refreshable bigint not null
-- column refresh_family.revoke_reason text collate C
-- column refresh_family.revoked_at bigint
-- column refresh_family.rotated_at bigint not null
-- column refresh_family.scope text collate C not null
-- column refresh_family.seq bigint not null
-- column refresh_family.session_id text collate C
-- column refresh_family.subject text collate C not null
-- column registration_token.created_at bigint not null
-- column registration_token.expires_at bigint not null
-- column registration_token.note text collate C
-- column registration_token.token text collate C not null
-- column registration_token.used_at bigint
-- column resource.access_ttl bigint
-- column resource.by_role bigint not null
-- column resource.closed bigint not null
-- column resource.created_at bigint not null
-- column resource.scope text collate C not null
-- column resource.server_client_id text collate C
-- column resource.signing_algorithm text collate C
-- column resource.uri text collate C not null
-- column revocation_log.at bigint not null
-- column revocation_log.expires bigint not null
-- column revocation_log.key text collate C not null
-- column revocation_log.kind text collate C not null
-- column revocation_log.n bigint not null
-- column revocation_log.not_before bigint not null
-- column role.created_at bigint not null
-- column role.includes text collate C not null
-- column role.name text collate C not null
-- column role.permissions text collate C not null
-- column session.absolute_expires_at bigint not null
-- column session.acr text collate C
-- column session.agent text collate C
-- column session.amr text collate C not null
-- column session.auth_time bigint not null
-- column session.created_at bigint not null
-- column session.ended_at bigint
-- column session.id text collate C not null
-- column session.idle_expires_at bigint not null
-- column session.last_seen_at bigint not null
-- column session.replaced_by text collate C
-- column session.subject text collate C not null
-- column sign_in_attempt.failures bigint not null
-- column sign_in_attempt.name text collate C not null
-- column sign_in_attempt.next_attempt_at bigint not null
-- column sign_in_attempt.source text collate C not null
-- column sign_in_attempt.updated_at bigint not null
-- column user_account.created_at bigint not null
-- column user_account.email text collate C
-- column user_account.email_verified bigint default 0 not null
-- column user_account.locked_at bigint
-- column user_account.name_key text collate C not null
-- column user_account.name_skeleton text collate C not null
-- column user_account.password_hash text collate C
-- column user_account.profile text collate C
-- column user_account.subject text collate C not null
-- column user_account.updated_at bigint not null
-- column user_account.username text collate C not null
-- column user_role.role text collate C not null
-- column user_role.subject text collate C not null
CREATE INDEX audit_at ON public.audit USING btree (at);
CREATE INDEX authorization_code_client ON public.authorization_code USING btree (client_id);
CREATE INDEX authorization_code_end ON public.authorization_code USING btree (expires_at);
CREATE INDEX beat_age ON public.beat USING btree (at);
CREATE INDEX change_log_age ON public.change_log USING btree (at);
CREATE INDEX change_log_kind ON public.change_log USING btree (kind, n);
CREATE INDEX client_registered ON public.client USING btree (created_at) WHERE (origin IS NOT NULL);
CREATE INDEX client_secret_client ON public.client_secret USING btree (client_id);
CREATE INDEX client_secret_end ON public.client_secret USING btree (expires_at) WHERE (expires_at IS NOT NULL);
CREATE INDEX consent_client ON public.consent USING btree (client_id);
CREATE INDEX device_code_client ON public.device_code USING btree (client_id);
CREATE INDEX device_code_end ON public.device_code USING btree (expires_at);
CREATE INDEX device_code_subject ON public.device_code USING btree (subject);
CREATE INDEX logout_delivery_due ON public.logout_delivery USING btree (next_attempt_at);
CREATE INDEX pushed_request_end ON public.pushed_request USING btree (expires_at);
CREATE INDEX refresh_family_client ON public.refresh_family USING btree (client_id);
CREATE INDEX refresh_family_end ON public.refresh_family USING btree (absolute_expires_at);
CREATE INDEX refresh_family_mac ON public.refresh_family USING btree (mac_kid);
CREATE INDEX refresh_family_session ON public.refresh_family USING btree (session_id);
CREATE INDEX refresh_family_subject ON public.refresh_family USING btree (subject);
CREATE INDEX registration_token_end ON public.registration_token USING btree (expires_at);
CREATE INDEX revocation_log_end ON public.revocation_log USING btree (expires);
CREATE INDEX revocation_log_start ON public.revocation_log USING btree (not_before);
CREATE INDEX session_end ON public.session USING btree (absolute_expires_at);
CREATE INDEX session_subject ON public.session USING btree (subject);
CREATE INDEX sign_in_attempt_age ON public.sign_in_attempt USING btree (updated_at);
CREATE INDEX user_role_role ON public.user_role USING btree (role);
CREATE UNIQUE INDEX audit_pkey ON public.audit USING btree (id);
CREATE UNIQUE INDEX authorization_code_interaction ON public.authorization_code USING btree (interaction);
CREATE UNIQUE INDEX authorization_code_pkey ON public.authorization_code USING btree (code);
CREATE UNIQUE INDEX beat_pkey ON public.beat USING btree (n);
CREATE UNIQUE INDEX change_log_pkey ON public.change_log USING btree (n);
CREATE UNIQUE INDEX client_pkey ON public.client USING btree (id);
CREATE UNIQUE INDEX client_secret_pkey ON public.client_secret USING btree (id);
CREATE UNIQUE INDEX consent_pkey ON public.consent USING btree (subject, client_id, audience);
CREATE UNIQUE INDEX counter_pkey ON public.counter USING btree (name);
CREATE UNIQUE INDEX device_code_pkey ON public.device_code USING btree (device_code);
CREATE UNIQUE INDEX device_code_user_code ON public.device_code USING btree (user_code);
CREATE UNIQUE INDEX issuer_key_pkey ON public.issuer_key USING btree (kid);
CREATE UNIQUE INDEX log_head_pkey ON public.log_head USING btree (name);
CREATE UNIQUE INDEX logout_delivery_pkey ON public.logout_delivery USING btree (sid);
CREATE UNIQUE INDEX pairwise_subject_pkey ON public.pairwise_subject USING btree (subject, sector);
CREATE UNIQUE INDEX pairwise_subject_sub ON public.pairwise_subject USING btree (sub);
CREATE UNIQUE INDEX pushed_request_pkey ON public.pushed_request USING btree (reference);
CREATE UNIQUE INDEX refresh_family_pkey ON public.refresh_family USING btree (id);
CREATE UNIQUE INDEX registration_token_pkey ON public.registration_token USING btree (token);
CREATE UNIQUE INDEX resource_pkey ON public.resource USING btree (uri);
CREATE UNIQUE INDEX revocation_log_pkey ON public.revocation_log USING btree (n);
CREATE UNIQUE INDEX role_pkey ON public.role USING btree (name);
CREATE UNIQUE INDEX session_pkey ON public.session USING btree (id);
CREATE UNIQUE INDEX sign_in_attempt_pkey ON public.sign_in_attempt USING btree (name, source);
CREATE UNIQUE INDEX user_account_name ON public.user_account USING btree (name_key);
CREATE UNIQUE INDEX user_account_pkey ON public.user_account USING btree (subject);
CREATE UNIQUE INDEX user_account_skeleton ON public.user_account USING btree (name_skeleton);
CREATE UNIQUE INDEX user_role_pkey ON public.user_role USING btree (subject, role);
