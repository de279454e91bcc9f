-- column audit.actor text collate C
-- column audit.actor_kind text collate C not null
-- column audit.at bigint not null
-- column audit.client_id text collate C
-- column audit.detail text collate C not null
-- column audit.event text collate C not null
-- column audit.id bigint identity not null
-- column audit.sid text collate C
-- column audit.subject text collate C
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
-- column client.created_at bigint not null
-- column client.disabled_at bigint
-- column client.grants text collate C not null
-- column client.id text collate C not null
-- column client.name text collate C
-- column client.post_logout_redirect_uris text collate C not null
-- column client.redirect_uris text collate C not null
-- column client.refresh_absolute_ttl bigint
-- column client.refresh_idle_ttl bigint
-- column client.resources text collate C not null
-- column client.rotation text collate C not null
-- column client.scope text collate C not null
-- column client.signing_algorithm text collate C
-- column client.updated_at bigint not null
-- column client_secret.client_id text collate C not null
-- column client_secret.created_at bigint not null
-- column client_secret.expires_at bigint
-- column client_secret.id text collate C not null
-- column client_secret.mac bytea
-- column client_secret.mac_kid text collate C not null
-- column counter.n bigint not null
-- column counter.name text collate C not null
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
-- column refresh_family.absolute_expires_at bigint not null
-- column refresh_family.acr text collate C
-- column refresh_family.amr text collate C not null
-- column refresh_family.audience text collate C not null
-- column refresh_family.auth_time bigint not null
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
-- column refresh_family.subject text collate C not null
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
-- column sign_in_attempt.failures bigint not null
-- column sign_in_attempt.name text collate C not null
-- column sign_in_attempt.next_attempt_at bigint not null
-- column sign_in_attempt.source text collate C not null
-- column sign_in_attempt.updated_at bigint not null
-- column user_account.created_at bigint not null
-- column user_account.email text collate C
-- column user_account.locked_at bigint
-- column user_account.name_key text collate C not null
-- column user_account.name_skeleton text collate C not null
-- column user_account.password_hash text collate C
-- column user_account.subject text collate C not null
-- column user_account.updated_at bigint not null
-- column user_account.username text collate C not null
-- column user_role.role text collate C not null
-- column user_role.subject text collate C not null
CREATE INDEX audit_at ON public.audit USING btree (at);
CREATE INDEX beat_age ON public.beat USING btree (at);
CREATE INDEX change_log_age ON public.change_log USING btree (at);
CREATE INDEX change_log_kind ON public.change_log USING btree (kind, n);
CREATE INDEX client_secret_client ON public.client_secret USING btree (client_id);
CREATE INDEX client_secret_end ON public.client_secret USING btree (expires_at) WHERE (expires_at IS NOT NULL);
CREATE INDEX refresh_family_client ON public.refresh_family USING btree (client_id);
CREATE INDEX refresh_family_end ON public.refresh_family USING btree (absolute_expires_at);
CREATE INDEX refresh_family_mac ON public.refresh_family USING btree (mac_kid);
CREATE INDEX refresh_family_subject ON public.refresh_family USING btree (subject);
CREATE INDEX revocation_log_end ON public.revocation_log USING btree (expires);
CREATE INDEX revocation_log_start ON public.revocation_log USING btree (not_before);
CREATE INDEX sign_in_attempt_age ON public.sign_in_attempt USING btree (updated_at);
CREATE INDEX user_role_role ON public.user_role USING btree (role);
CREATE UNIQUE INDEX audit_pkey ON public.audit USING btree (id);
CREATE UNIQUE INDEX beat_pkey ON public.beat USING btree (n);
CREATE UNIQUE INDEX change_log_pkey ON public.change_log USING btree (n);
CREATE UNIQUE INDEX client_pkey ON public.client USING btree (id);
CREATE UNIQUE INDEX client_secret_pkey ON public.client_secret USING btree (id);
CREATE UNIQUE INDEX counter_pkey ON public.counter USING btree (name);
CREATE UNIQUE INDEX issuer_key_pkey ON public.issuer_key USING btree (kid);
CREATE UNIQUE INDEX log_head_pkey ON public.log_head USING btree (name);
CREATE UNIQUE INDEX refresh_family_pkey ON public.refresh_family USING btree (id);
CREATE UNIQUE INDEX resource_pkey ON public.resource USING btree (uri);
CREATE UNIQUE INDEX revocation_log_pkey ON public.revocation_log USING btree (n);
CREATE UNIQUE INDEX role_pkey ON public.role USING btree (name);
CREATE UNIQUE INDEX sign_in_attempt_pkey ON public.sign_in_attempt USING btree (name, source);
CREATE UNIQUE INDEX user_account_name ON public.user_account USING btree (name_key);
CREATE UNIQUE INDEX user_account_pkey ON public.user_account USING btree (subject);
CREATE UNIQUE INDEX user_account_skeleton ON public.user_account USING btree (name_skeleton);
CREATE UNIQUE INDEX user_role_pkey ON public.user_role USING btree (subject, role);
