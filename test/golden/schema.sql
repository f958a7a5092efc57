table app_access
  scope text collate "C" not null
  community text collate "C" not null
  mode text not null
  unattested text
  constraint app_access_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint app_access_mode_check CHECK ((mode = ANY (ARRAY['open'::text, 'allowList'::text, 'pinned'::text])))
  constraint app_access_pkey PRIMARY KEY (scope)
  constraint app_access_unattested_check CHECK ((unattested = ANY (ARRAY['allow'::text, 'refuse'::text])))
  CREATE INDEX app_access_by_community ON public.app_access USING btree (community)

table app_rule
  scope text collate "C" not null
  name text collate "C" not null
  community text collate "C" not null
  is_host boolean not null
  verdict text not null
  note text
  put_by text collate "C" not null
  put_at_ms bigint not null
  constraint app_rule_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint app_rule_pkey PRIMARY KEY (scope, name)
  constraint app_rule_verdict_check CHECK ((verdict = ANY (ARRAY['allow'::text, 'deny'::text, 'pending'::text])))
  CREATE INDEX app_rule_by_community ON public.app_rule USING btree (community)

table app_seen
  community text collate "C" not null
  client_id text collate "C" not null
  first_at_ms bigint not null
  last_at_ms bigint not null
  times integer not null
  last_did text collate "C" not null
  last_space text collate "C" not null
  constraint app_seen_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint app_seen_pkey PRIMARY KEY (community, client_id)
  constraint app_seen_times_check CHECK ((times > 0))
  CREATE INDEX app_seen_by_age ON public.app_seen USING btree (community, last_at_ms)

table arrival
  id text collate "C" not null
  did text collate "C" not null
  caller text collate "C" not null
  name text not null
  statement jsonb not null
  state text not null
  created_at_ms bigint not null
  due_at_ms bigint not null
  constraint arrival_pkey PRIMARY KEY (id)
  constraint arrival_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'late'::text, 'opened'::text, 'lapsed'::text])))
  CREATE INDEX arrival_by_due ON public.arrival USING btree (due_at_ms) WHERE (state = ANY (ARRAY['waiting'::text, 'late'::text]))
  CREATE UNIQUE INDEX arrival_one_waiting ON public.arrival USING btree (did, caller) WHERE (state = 'waiting'::text)

table audit_entry
  id bigint not null generated always as identity
  community text collate "C" not null
  at_ms bigint not null
  actor text collate "C" not null
  action text collate "C" not null
  target text collate "C" not null
  subject text collate "C"
  because jsonb not null
  seq bigint
  hash bytea
  prev bytea
  constraint audit_entry_check CHECK ((((seq IS NULL) = (hash IS NULL)) AND ((seq IS NULL) = (prev IS NULL))))
  constraint audit_entry_community_seq_key UNIQUE (community, seq)
  constraint audit_entry_hash_check CHECK ((octet_length(hash) = 32))
  constraint audit_entry_pkey PRIMARY KEY (id)
  constraint audit_entry_prev_check CHECK ((octet_length(prev) = 32))
  constraint audit_entry_seq_check CHECK ((seq >= 1))
  CREATE INDEX audit_entry_by_community ON public.audit_entry USING btree (community, id DESC)
  CREATE INDEX audit_entry_unsealed ON public.audit_entry USING btree (community, id) WHERE (seq IS NULL)
  CREATE TRIGGER audit_entry_append_only BEFORE DELETE OR UPDATE ON public.audit_entry FOR EACH ROW EXECUTE FUNCTION audit_entry_is_append_only()
  CREATE TRIGGER audit_entry_not_emptied BEFORE TRUNCATE ON public.audit_entry FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_is_not_emptied()

table audit_head
  community text collate "C" not null
  seq bigint not null
  hash bytea not null
  constraint audit_head_hash_check CHECK ((octet_length(hash) = 32))
  constraint audit_head_pkey PRIMARY KEY (community)

table ban
  scope text collate "C" not null
  did text collate "C" not null
  community text collate "C" not null
  reason text
  until_ms bigint
  banned_by text collate "C" not null
  banned_at_ms bigint not null
  constraint ban_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint ban_pkey PRIMARY KEY (scope, did)
  CREATE INDEX ban_by_person ON public.ban USING btree (community, did, scope)

table ceremony
  id text collate "C" not null
  community text collate "C" not null
  slot text collate "C" not null
  kind text not null
  quorum_key text collate "C"
  state text not null
  fault text
  statement bytea not null
  statement_hash text collate "C" not null
  sig text not null
  wish jsonb
  transcript jsonb
  sealing bytea
  sealing_dek integer
  signed text
  created_by text collate "C" not null
  created_at_ms bigint not null
  expires_at_ms bigint not null
  ended_at_ms bigint
  constraint ceremony_check CHECK (((sealing IS NULL) = (sealing_dek IS NULL)))
  constraint ceremony_check1 CHECK (((state <> ALL (ARRAY['done'::text, 'cancelled'::text, 'expired'::text, 'failed'::text])) OR (sealing IS NULL)))
  constraint ceremony_community_fkey FOREIGN KEY (community) REFERENCES community(did)
  constraint ceremony_kind_check CHECK ((kind = ANY (ARRAY['split'::text, 'drill'::text, 'combine'::text, 'ownership'::text])))
  constraint ceremony_pkey PRIMARY KEY (id)
  constraint ceremony_quorum_key_fkey FOREIGN KEY (quorum_key) REFERENCES quorum_key(id)
  constraint ceremony_state_check CHECK ((state = ANY (ARRAY['proposed'::text, 'approved'::text, 'collecting'::text, 'ready'::text, 'done'::text, 'cancelled'::text, 'expired'::text, 'failed'::text])))
  constraint ceremony_statement_hash_key UNIQUE (statement_hash)
  CREATE INDEX ceremony_of_community ON public.ceremony USING btree (community, created_at_ms)
  CREATE UNIQUE INDEX ceremony_one_open ON public.ceremony USING btree (community, slot) WHERE (state = ANY (ARRAY['proposed'::text, 'approved'::text, 'collecting'::text, 'ready'::text]))
  CREATE INDEX ceremony_open ON public.ceremony USING btree (expires_at_ms) WHERE (state = ANY (ARRAY['proposed'::text, 'approved'::text, 'collecting'::text, 'ready'::text]))

table ceremony_act
  ceremony text collate "C" not null
  did text collate "C" not null
  act text not null
  subject text collate "C"
  at text collate "C" not null
  sig text not null
  given text
  made_at_ms bigint not null
  constraint ceremony_act_act_check CHECK ((act = ANY (ARRAY['approve'::text, 'reject'::text, 'deal'::text, 'acknowledge'::text, 'submit'::text, 'conclude'::text, 'cancel'::text])))
  constraint ceremony_act_ceremony_fkey FOREIGN KEY (ceremony) REFERENCES ceremony(id)
  constraint ceremony_act_pkey PRIMARY KEY (ceremony, did, act)

table combine_attempt
  quorum_key text collate "C" not null
  at_ms bigint not null
  constraint combine_attempt_quorum_key_fkey FOREIGN KEY (quorum_key) REFERENCES quorum_key(id)
  CREATE INDEX combine_attempt_by_key ON public.combine_attempt USING btree (quorum_key, at_ms)

table community
  did text collate "C" not null
  name text not null
  handle text collate "C"
  custody text not null
  recovery_key text collate "C"
  founder text collate "C" not null
  step text not null
  fault text
  operation jsonb
  operation_cid text collate "C"
  idempotency_key text collate "C"
  request_hash bytea not null
  created_at_ms bigint not null
  recovery_holder text collate "C"
  former_recovery_keys text[] not null default '{}'::text[]
  wanted_custody text
  constraint community_check CHECK (((custody = 'memberHeld'::text) = (recovery_key IS NOT NULL)))
  constraint community_custody_check CHECK ((custody = ANY (ARRAY['memberHeld'::text, 'custodial'::text, 'external'::text])))
  constraint community_founder_idempotency_key_key UNIQUE (founder, idempotency_key)
  constraint community_genesis CHECK ((((custody = 'external'::text) = (operation IS NULL)) AND ((operation IS NULL) = (operation_cid IS NULL))))
  constraint community_pkey PRIMARY KEY (did)
  constraint community_step_check CHECK ((step = ANY (ARRAY['prepared'::text, 'submitted'::text, 'confirmed'::text, 'opened'::text, 'refused'::text, 'deleted'::text])))
  constraint community_wanted_custody_check CHECK ((wanted_custody = ANY (ARRAY['quorum'::text, 'quorumStrict'::text])))
  CREATE INDEX community_by_handle ON public.community USING btree (handle) WHERE (handle IS NOT NULL)
  CREATE INDEX community_unfinished ON public.community USING btree (created_at_ms) WHERE (step = ANY (ARRAY['prepared'::text, 'submitted'::text, 'confirmed'::text]))

table community_revision
  community text collate "C" not null
  revision bigint not null default 0
  graph_revision bigint not null default 0
  frozen_at_ms bigint
  roll_ended boolean not null default false
  is_silent boolean not null default false
  is_account boolean not null default false
  released_at_ms bigint
  constraint community_revision_graph_revision_check CHECK ((graph_revision >= 0))
  constraint community_revision_pkey PRIMARY KEY (community)
  constraint community_revision_released CHECK ((is_account OR (released_at_ms IS NULL)))
  constraint community_revision_revision_check CHECK ((revision >= 0))
  CREATE INDEX community_roll_ended ON public.community_revision USING btree (community) WHERE roll_ended

table connect_attempt
  id text collate "C" not null
  community text collate "C" not null
  begun_by text collate "C" not null
  asked text not null
  link_hash text collate "C" not null
  browser_hash text collate "C"
  state text collate "C"
  sealed bytea
  dek_version integer
  expires_at_ms bigint not null
  constraint connect_attempt_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint connect_attempt_link_hash_key UNIQUE (link_hash)
  constraint connect_attempt_pkey PRIMARY KEY (id)
  constraint connect_attempt_state_key UNIQUE (state)
  CREATE INDEX connect_attempt_by_end ON public.connect_attempt USING btree (expires_at_ms)

table dek
  community text collate "C" not null
  version integer not null
  wrapped bytea not null
  kek_id text collate "C" not null
  created_at_ms bigint not null
  constraint dek_pkey PRIMARY KEY (community, version)
  constraint dek_version_check CHECK ((version > 0))
  CREATE INDEX dek_by_kek ON public.dek USING btree (kek_id)

table departure
  space text collate "C" not null
  did text collate "C" not null
  community text collate "C" not null
  left_at_ms bigint not null
  constraint departure_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint departure_pkey PRIMARY KEY (space, did)
  constraint departure_space_fkey FOREIGN KEY (space) REFERENCES space(uri)
  CREATE INDEX departure_by_person ON public.departure USING btree (community, did, space)

table from_past
  one boolean not null default true
  found_at_ms bigint not null
  constraint from_past_one_check CHECK (one)
  constraint from_past_pkey PRIMARY KEY (one)

table from_past_seen
  community text not null
  seq bigint not null
  hash bytea not null
  seen_at_ms bigint not null
  constraint from_past_seen_hash_check CHECK ((length(hash) = 32))
  constraint from_past_seen_pkey PRIMARY KEY (community)
  constraint from_past_seen_seq_check CHECK ((seq > 0))

table held_turn
  name text collate "C" not null
  holder text collate "C" not null
  until_ms bigint not null
  constraint held_turn_pkey PRIMARY KEY (name)

table idempotency
  actor text collate "C" not null
  method text collate "C" not null
  key text collate "C" not null
  request_hash bytea not null
  answer text
  keep_until_ms bigint not null
  constraint idempotency_key_check CHECK (((length(key) >= 1) AND (length(key) <= 128)))
  constraint idempotency_pkey PRIMARY KEY (actor, method, key)
  constraint idempotency_request_hash_check CHECK ((octet_length(request_hash) = 32))
  CREATE INDEX idempotency_by_age ON public.idempotency USING btree (keep_until_ms)

table identity_alarm
  community text collate "C" not null
  name text collate "C" not null
  since_ms bigint not null
  about jsonb not null
  constraint identity_alarm_community_fkey FOREIGN KEY (community) REFERENCES community(did)
  constraint identity_alarm_pkey PRIMARY KEY (community, name)

table import
  id text collate "C" not null
  space text collate "C" not null
  community text collate "C" not null
  state text not null
  rows_given integer not null default 0
  rows_put integer not null default 0
  rows_same integer not null default 0
  rows_refused integer not null default 0
  applied_line integer not null default 0
  stopped_by text
  begun_by text collate "C" not null
  begun_at_ms bigint not null
  touched_at_ms bigint not null
  constraint import_check CHECK (((state = 'stopped'::text) = (stopped_by IS NOT NULL)))
  constraint import_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint import_pkey PRIMARY KEY (id)
  constraint import_space_fkey FOREIGN KEY (space) REFERENCES space(uri)
  constraint import_state_check CHECK ((state = ANY (ARRAY['open'::text, 'running'::text, 'done'::text, 'stopped'::text, 'cancelled'::text])))
  CREATE INDEX import_by_age ON public.import USING btree (touched_at_ms) WHERE (state <> 'running'::text)
  CREATE INDEX import_running ON public.import USING btree (touched_at_ms) WHERE (state = 'running'::text)
  CREATE INDEX import_under_way ON public.import USING btree (community) WHERE (state = ANY (ARRAY['open'::text, 'running'::text]))

table import_row
  import text collate "C" not null
  line integer not null
  did text collate "C"
  role text collate "C"
  since_ms bigint
  until_ms bigint
  fault text
  says text
  constraint import_row_check CHECK (((fault IS NOT NULL) OR ((did IS NOT NULL) AND (role IS NOT NULL))))
  constraint import_row_check1 CHECK (((fault IS NULL) = (says IS NULL)))
  constraint import_row_import_fkey FOREIGN KEY (import) REFERENCES import(id)
  constraint import_row_line_check CHECK ((line > 0))
  constraint import_row_pkey PRIMARY KEY (import, line)
  CREATE INDEX import_row_fault ON public.import_row USING btree (import, line) WHERE (fault IS NOT NULL)
  CREATE UNIQUE INDEX import_row_person ON public.import_row USING btree (import, did) WHERE ((did IS NOT NULL) AND (fault IS NULL))

table instance
  single boolean not null default true
  id text collate "C" not null
  created_at_ms bigint not null
  constraint instance_id_check CHECK ((length(id) = 32))
  constraint instance_pkey PRIMARY KEY (single)
  constraint instance_single_check CHECK (single)

table invite
  id text collate "C" not null
  token_hash bytea not null
  space text collate "C" not null
  community text collate "C" not null
  role text collate "C" not null
  until_ms bigint
  note text
  uses_left integer not null
  uses_max integer not null
  expires_at_ms bigint not null
  made_by text collate "C" not null
  made_at_ms bigint not null
  revoked_by text collate "C"
  revoked_at_ms bigint
  constraint invite_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint invite_pkey PRIMARY KEY (id)
  constraint invite_space_fkey FOREIGN KEY (space) REFERENCES space(uri)
  constraint invite_token_hash_check CHECK ((octet_length(token_hash) = 32))
  constraint invite_token_hash_key UNIQUE (token_hash)
  constraint invite_uses_left_check CHECK ((uses_left >= 0))
  constraint invite_uses_max_check CHECK ((uses_max > 0))
  CREATE INDEX invite_by_community ON public.invite USING btree (community, expires_at_ms)
  CREATE INDEX invite_by_space ON public.invite USING btree (space, id)

table issuance
  jti text collate "C" not null
  space text collate "C" not null
  community text collate "C" not null
  did text collate "C" not null
  client_id text collate "C"
  holder text collate "C" not null
  issued_at_sec bigint not null
  expires_at_sec bigint not null
  revision bigint not null
  revoked_at_sec bigint
  revoked_by text collate "C"
  revoked_because text
  hosts_plan text
  managed_by text
  constraint issuance_hosts_plan_check CHECK ((hosts_plan = ANY (ARRAY['none'::text, 'tell'::text, 'wait'::text, 'cannot'::text])))
  constraint issuance_pkey PRIMARY KEY (jti)
  CREATE INDEX issuance_by_app ON public.issuance USING btree (community, client_id, expires_at_sec)
  CREATE INDEX issuance_by_community ON public.issuance USING btree (community, did, expires_at_sec)
  CREATE INDEX issuance_by_expiry ON public.issuance USING btree (expires_at_sec)
  CREATE INDEX issuance_by_person ON public.issuance USING btree (space, did)
  CREATE INDEX issuance_to_plan ON public.issuance USING btree (space, jti) WHERE ((revoked_at_sec IS NOT NULL) AND (hosts_plan IS NULL))

table join_request
  space text collate "C" not null
  did text collate "C" not null
  community text collate "C" not null
  message text
  state text not null
  asked_at_ms bigint not null
  decided_by text collate "C"
  decided_at_ms bigint
  reason text
  constraint join_request_check CHECK (((state = 'open'::text) = (decided_at_ms IS NULL)))
  constraint join_request_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint join_request_pkey PRIMARY KEY (space, did)
  constraint join_request_space_fkey FOREIGN KEY (space) REFERENCES space(uri)
  constraint join_request_state_check CHECK ((state = ANY (ARRAY['open'::text, 'approved'::text, 'declined'::text])))
  CREATE INDEX join_request_by_community ON public.join_request USING btree (community) WHERE (state = 'open'::text)
  CREATE INDEX join_request_by_person ON public.join_request USING btree (did) WHERE (state = 'open'::text)
  CREATE INDEX join_request_open ON public.join_request USING btree (space, asked_at_ms, did) WHERE (state = 'open'::text)

table keeper
  id text collate "C" not null
  community text collate "C" not null
  did text collate "C" not null
  seal_key text collate "C" not null
  sign_key text collate "C" not null
  enrolled_at_ms bigint not null
  counts_from_ms bigint not null
  ended_at_ms bigint
  bad_shares integer not null default 0
  bad_given text[] not null default '{}'::text[]
  suspended_at_ms bigint
  constraint keeper_community_fkey FOREIGN KEY (community) REFERENCES community(did)
  constraint keeper_pkey PRIMARY KEY (id)
  CREATE UNIQUE INDEX keeper_one_of_a_person ON public.keeper USING btree (community, did) WHERE (ended_at_ms IS NULL)

table key
  id text collate "C" not null
  community text collate "C" not null
  purpose text not null
  did_key text collate "C" not null
  state text not null
  dek_version integer
  sealed bytea
  created_at_ms bigint not null
  state_since_ms bigint not null
  flags text[] not null default '{}'::text[]
  stands_aside boolean not null default false
  arrival text collate "C"
  constraint key_check CHECK (((state = 'destroyed'::text) = (sealed IS NULL)))
  constraint key_check1 CHECK (((sealed IS NULL) = (dek_version IS NULL)))
  constraint key_community_dek_version_fkey FOREIGN KEY (community, dek_version) REFERENCES dek(community, version)
  constraint key_flags_check CHECK ((flags <@ ARRAY['exported'::text, 'combinedOnServer'::text, 'suspect'::text]))
  constraint key_pkey PRIMARY KEY (id)
  constraint key_purpose_check CHECK ((purpose = ANY (ARRAY['rotation'::text, 'space'::text, 'atproto'::text, 'client'::text])))
  constraint key_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'active'::text, 'retiring'::text, 'retired'::text, 'destroyed'::text])))
  CREATE INDEX key_by_community ON public.key USING btree (community)
  CREATE INDEX key_by_state_since ON public.key USING btree (state_since_ms)
  CREATE UNIQUE INDEX key_one_active ON public.key USING btree (community, purpose) WHERE (state = 'active'::text)
  CREATE UNIQUE INDEX key_one_pending ON public.key USING btree (community, purpose) WHERE ((state = 'pending'::text) AND (arrival IS NULL))
  CREATE INDEX key_over ON public.key USING btree (state_since_ms) WHERE (state = ANY (ARRAY['retiring'::text, 'retired'::text]))

table key_export
  id text collate "C" not null
  community text collate "C" not null
  key_id text collate "C" not null
  asked_by text collate "C" not null
  recipients jsonb not null
  state text not null
  sealed bytea
  due_at_ms bigint not null
  expires_at_ms bigint
  constraint key_export_check CHECK (((state = 'ready'::text) = (sealed IS NOT NULL)))
  constraint key_export_community_fkey FOREIGN KEY (community) REFERENCES community(did)
  constraint key_export_key_id_fkey FOREIGN KEY (key_id) REFERENCES key(id)
  constraint key_export_pkey PRIMARY KEY (id)
  constraint key_export_state_check CHECK ((state = ANY (ARRAY['due'::text, 'ready'::text, 'taken'::text, 'lapsed'::text])))
  CREATE INDEX key_export_unfinished ON public.key_export USING btree (due_at_ms) WHERE (state = ANY (ARRAY['due'::text, 'ready'::text]))

table key_rotation
  community text collate "C" not null
  purposes text[] not null
  recovery jsonb
  reason text not null
  is_urgent boolean not null
  step text not null
  fault text
  step_due_at_ms bigint not null
  asked_by text collate "C" not null
  began_at_ms bigint not null
  quorum jsonb
  constraint key_rotation_community_fkey FOREIGN KEY (community) REFERENCES community(did)
  constraint key_rotation_pkey PRIMARY KEY (community)
  constraint key_rotation_step_check CHECK ((step = ANY (ARRAY['aside'::text, 'swap'::text, 'after'::text, 'settle'::text, 'done'::text, 'refused'::text])))
  CREATE INDEX key_rotation_unfinished ON public.key_rotation USING btree (step_due_at_ms) WHERE (step <> ALL (ARRAY['done'::text, 'refused'::text]))

table migration
  number integer not null
  name text not null
  sha256 bytea not null
  applied_at_ms bigint not null
  constraint migration_pkey PRIMARY KEY (number)

table offer
  space text collate "C" not null
  to_community text collate "C" not null
  community text collate "C" not null
  offered_by text collate "C" not null
  offered_at_ms bigint not null
  constraint offer_check CHECK ((community <> to_community))
  constraint offer_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint offer_pkey PRIMARY KEY (space, to_community)
  constraint offer_space_fkey FOREIGN KEY (space) REFERENCES space(uri)
  constraint offer_to_community_fkey FOREIGN KEY (to_community) REFERENCES community_revision(community)
  CREATE INDEX offer_by_community ON public.offer USING btree (community)
  CREATE INDEX offer_by_receiver ON public.offer USING btree (to_community)

table owner_gone
  community text collate "C" not null
  did text collate "C" not null
  gone_at_ms bigint not null
  constraint owner_gone_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint owner_gone_pkey PRIMARY KEY (community, did)

table ownership_claim
  id text collate "C" not null
  community text collate "C" not null
  owners text[] not null
  signed_by text collate "C" not null
  said_at text collate "C" not null
  state text not null
  fault text
  objected_by text collate "C"
  objected_at_ms bigint
  made_at_ms bigint not null
  due_at_ms bigint not null
  ended_at_ms bigint
  constraint ownership_claim_community_fkey FOREIGN KEY (community) REFERENCES community(did)
  constraint ownership_claim_pkey PRIMARY KEY (id)
  constraint ownership_claim_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'objected'::text, 'done'::text, 'refused'::text])))
  CREATE INDEX ownership_claim_due ON public.ownership_claim USING btree (due_at_ms) WHERE (state = 'waiting'::text)
  CREATE UNIQUE INDEX ownership_claim_one_open ON public.ownership_claim USING btree (community) WHERE (state = ANY (ARRAY['waiting'::text, 'objected'::text]))

table ownership_offer
  community text collate "C" not null
  offered_by text collate "C" not null
  to_did text collate "C" not null
  role_after text collate "C"
  offered_at_ms bigint not null
  expires_at_ms bigint not null
  constraint ownership_offer_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint ownership_offer_pkey PRIMARY KEY (community, offered_by)
  CREATE INDEX ownership_offer_by_receiver ON public.ownership_offer USING btree (community, to_did)

table pds_connection
  community text collate "C" not null
  state text collate "C" not null
  because text collate "C"
  asked text not null
  granted text not null
  connected_by text collate "C" not null
  connected_at_ms bigint not null
  state_since_ms bigint not null
  sealed bytea
  dek_version integer
  version bigint not null
  renewed_at_ms bigint not null
  constraint pds_connection_check CHECK (((state = 'lost'::text) = (because IS NOT NULL)))
  constraint pds_connection_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint pds_connection_pkey PRIMARY KEY (community)
  constraint pds_connection_state_check CHECK ((state = ANY (ARRAY['connected'::text, 'lost'::text])))

table person_edge
  into_space text collate "C" not null
  did text collate "C" not null
  community text collate "C" not null
  role text collate "C" not null
  since_ms bigint
  until_ms bigint
  added_by text collate "C" not null
  added_at_ms bigint not null
  constraint person_edge_check CHECK (((since_ms IS NULL) OR (until_ms IS NULL) OR (since_ms < until_ms)))
  constraint person_edge_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint person_edge_into_space_fkey FOREIGN KEY (into_space) REFERENCES space(uri)
  constraint person_edge_pkey PRIMARY KEY (into_space, did)
  CREATE INDEX person_edge_by_maker ON public.person_edge USING btree (community, added_by) WHERE (role <> ALL (ARRAY['member'::text, 'writer'::text, 'reader'::text]))
  CREATE INDEX person_edge_by_person ON public.person_edge USING btree (community, did, into_space) INCLUDE (role, since_ms, until_ms)

table plc_signed
  community text collate "C" not null
  cid text collate "C" not null
  prev text collate "C" not null
  names text[] not null
  constraint plc_signed_community_fkey FOREIGN KEY (community) REFERENCES community(did)
  constraint plc_signed_pkey PRIMARY KEY (community, cid)

table plc_watch
  community text collate "C" not null
  head_cid text collate "C" not null
  operations integer not null
  judged integer not null default 1
  read_at_ms bigint not null
  due_at_ms bigint not null
  document_at_ms bigint
  document_due_at_ms bigint not null
  quiet_until_ms bigint
  left_at_ms bigint
  constraint plc_watch_community_fkey FOREIGN KEY (community) REFERENCES community(did)
  constraint plc_watch_operations_check CHECK ((operations > 0))
  constraint plc_watch_pkey PRIMARY KEY (community)
  CREATE INDEX plc_watch_by_document_due ON public.plc_watch USING btree (document_due_at_ms)
  CREATE INDEX plc_watch_by_due ON public.plc_watch USING btree (due_at_ms)
  CREATE INDEX plc_watch_left ON public.plc_watch USING btree (community) WHERE (left_at_ms IS NOT NULL)

table plc_work
  community text collate "C" not null
  kind text not null
  step text not null
  fault text
  operation jsonb not null
  operation_cid text collate "C" not null
  about jsonb not null
  asked_by text collate "C" not null
  created_at_ms bigint not null
  constraint plc_work_check CHECK (((step = 'refused'::text) = (fault IS NOT NULL)))
  constraint plc_work_community_fkey FOREIGN KEY (community) REFERENCES community(did)
  constraint plc_work_pkey PRIMARY KEY (community)
  constraint plc_work_step_check CHECK ((step = ANY (ARRAY['prepared'::text, 'submitted'::text, 'confirmed'::text, 'refused'::text])))
  CREATE INDEX plc_work_unfinished ON public.plc_work USING btree (created_at_ms) WHERE (step = ANY (ARRAY['prepared'::text, 'submitted'::text]))

table proposal
  id text collate "C" not null
  community text collate "C" not null
  act text collate "C" not null
  target text collate "C" not null
  input jsonb not null
  state text not null
  proposed_by text collate "C" not null
  proposed_at_ms bigint not null
  expires_at_ms bigint not null
  approved_by text collate "C"
  due_at_ms bigint
  ended_by text collate "C"
  ended_at_ms bigint
  constraint proposal_check CHECK (((state = ANY (ARRAY['done'::text, 'cancelled'::text])) = (ended_at_ms IS NOT NULL)))
  constraint proposal_check1 CHECK (((state <> 'approved'::text) OR (due_at_ms IS NOT NULL)))
  constraint proposal_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint proposal_pkey PRIMARY KEY (id)
  constraint proposal_state_check CHECK ((state = ANY (ARRAY['open'::text, 'approved'::text, 'done'::text, 'cancelled'::text])))
  CREATE INDEX proposal_by_community ON public.proposal USING btree (community, id)
  CREATE INDEX proposal_due ON public.proposal USING btree (due_at_ms) WHERE (state = 'approved'::text)
  CREATE UNIQUE INDEX proposal_one_open ON public.proposal USING btree (community, act, target) WHERE (state = ANY (ARRAY['open'::text, 'approved'::text]))

table quorum_key
  id text collate "C" not null
  community text collate "C" not null
  did_key text collate "C" not null
  generation integer not null
  n integer not null
  k integer not null
  seats jsonb not null
  dealt_by text collate "C" not null
  wants_strict boolean not null
  strict boolean not null default false
  combined_here boolean not null default false
  state text not null
  drilled_at_ms bigint
  state_since_ms bigint not null
  created_at_ms bigint not null
  constraint quorum_key_check CHECK (((k >= 2) AND (k <= n)))
  constraint quorum_key_community_fkey FOREIGN KEY (community) REFERENCES community(did)
  constraint quorum_key_did_key_key UNIQUE (did_key)
  constraint quorum_key_generation_check CHECK ((generation > 0))
  constraint quorum_key_n_check CHECK (((n >= 2) AND (n <= 16)))
  constraint quorum_key_pkey PRIMARY KEY (id)
  constraint quorum_key_state_check CHECK ((state = ANY (ARRAY['dealt'::text, 'acknowledged'::text, 'drilled'::text, 'active'::text, 'retired'::text, 'dropped'::text])))
  CREATE INDEX quorum_key_of_community ON public.quorum_key USING btree (community, created_at_ms)
  CREATE UNIQUE INDEX quorum_key_one_active ON public.quorum_key USING btree (community) WHERE (state = 'active'::text)
  CREATE UNIQUE INDEX quorum_key_one_coming ON public.quorum_key USING btree (community) WHERE (state = ANY (ARRAY['dealt'::text, 'acknowledged'::text, 'drilled'::text]))

table registration
  id bigint not null generated always as identity
  space text collate "C" not null
  community text collate "C" not null
  service text collate "C" not null
  host text collate "C" not null
  registered_at_ms bigint not null
  expires_at_ms bigint not null
  proved_at_ms bigint
  paused_at_ms bigint
  paused_by text collate "C"
  ended_at_ms bigint
  delivered_rev bigint not null
  look_at_ms bigint
  turn bigint not null default 0
  checked_revision bigint not null
  checked_at_ms bigint not null
  delivered_at_ms bigint
  gaps integer not null default 0
  failures integer not null default 0
  failing_since_ms bigint
  last_error text
  taken_until_ms bigint not null default 0
  constraint registration_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint registration_pkey PRIMARY KEY (id)
  constraint registration_space_fkey FOREIGN KEY (space) REFERENCES space(uri)
  CREATE UNIQUE INDEX registration_by_space ON public.registration USING btree (space, service)
  CREATE INDEX registration_due ON public.registration USING btree (look_at_ms) WHERE ((look_at_ms IS NOT NULL) AND (paused_at_ms IS NULL))
  CREATE INDEX registration_proved ON public.registration USING btree (host) WHERE (proved_at_ms IS NOT NULL)
  CREATE INDEX registration_unproved ON public.registration USING btree (host) WHERE (proved_at_ms IS NULL)

table registration_sponsor
  registration bigint not null
  did text collate "C" not null
  client_id text collate "C" not null
  since_ms bigint not null
  constraint registration_sponsor_pkey PRIMARY KEY (registration, did, client_id)
  constraint registration_sponsor_registration_fkey FOREIGN KEY (registration) REFERENCES registration(id) ON DELETE CASCADE
  CREATE INDEX registration_sponsor_by_person ON public.registration_sponsor USING btree (did)

table revocation_call
  id bigint not null generated always as identity
  host text collate "C" not null
  community text collate "C" not null
  at_ms bigint not null
  constraint revocation_call_pkey PRIMARY KEY (id)
  CREATE INDEX revocation_call_by_host ON public.revocation_call USING btree (host, at_ms)
  CREATE INDEX revocation_call_by_time ON public.revocation_call USING btree (at_ms)

table revocation_host
  host text collate "C" not null
  look_at_ms bigint
  turn bigint not null default 0
  failures integer not null default 0
  constraint revocation_host_pkey PRIMARY KEY (host)
  CREATE INDEX revocation_host_due ON public.revocation_host USING btree (look_at_ms) WHERE (look_at_ms IS NOT NULL)

table revocation_notice
  space text collate "C" not null
  jti text collate "C" not null
  host text collate "C" not null
  repo text collate "C" not null
  ends_at_sec bigint not null
  planned_at_ms bigint not null
  look_at_ms bigint not null
  sent_at_ms bigint
  state text not null
  constraint revocation_notice_pkey PRIMARY KEY (space, jti, host)
  constraint revocation_notice_state_check CHECK ((state = ANY (ARRAY['due'::text, 'told'::text, 'cannot'::text, 'deaf'::text, 'ended'::text, 'moved'::text])))
  CREATE INDEX revocation_notice_by_end ON public.revocation_notice USING btree (ends_at_sec)
  CREATE INDEX revocation_notice_by_host ON public.revocation_notice USING btree (host, space)
  CREATE INDEX revocation_notice_due ON public.revocation_notice USING btree (host, planned_at_ms) WHERE (state = 'due'::text)

table role
  community text collate "C" not null
  name text collate "C" not null
  actions text[] not null
  description text
  put_by text collate "C" not null
  put_at_ms bigint not null
  constraint role_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint role_pkey PRIMARY KEY (community, name)

table served_handle
  handle text collate "C" not null
  community text collate "C" not null
  held_until_ms bigint
  constraint served_handle_community_fkey FOREIGN KEY (community) REFERENCES community(did) DEFERRABLE INITIALLY DEFERRED
  constraint served_handle_pkey PRIMARY KEY (handle)
  CREATE INDEX served_handle_by_community ON public.served_handle USING btree (community)

table share_packet
  ceremony text collate "C" not null
  did text collate "C" not null
  sealed bytea not null
  constraint share_packet_ceremony_fkey FOREIGN KEY (ceremony) REFERENCES ceremony(id)
  constraint share_packet_pkey PRIMARY KEY (ceremony, did)

table space
  uri text collate "C" not null
  community text collate "C" not null
  space_type text collate "C" not null
  skey text collate "C" not null
  state text not null
  created_by text collate "C" not null
  created_at_ms bigint not null
  frozen_at_ms bigint
  joining text not null default 'closed'::text
  joining_role text collate "C"
  bound_at_ms bigint
  constraint space_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint space_community_space_type_skey_key UNIQUE (community, space_type, skey)
  constraint space_joining_check CHECK ((joining = ANY (ARRAY['closed'::text, 'byRequest'::text, 'open'::text])))
  constraint space_joining_role CHECK (((joining = 'open'::text) = (joining_role IS NOT NULL)))
  constraint space_pkey PRIMARY KEY (uri)
  constraint space_state_check CHECK ((state = ANY (ARRAY['live'::text, 'deleted'::text])))
  CREATE INDEX space_ended ON public.space USING btree (community) WHERE (state <> 'live'::text)
  CREATE INDEX space_frozen ON public.space USING btree (community) WHERE (frozen_at_ms IS NOT NULL)
  CREATE INDEX space_open_to_join ON public.space USING btree (community) WHERE (joining = 'open'::text)

table space_edge
  into_space text collate "C" not null
  from_space text collate "C" not null
  role text collate "C" not null
  community text collate "C" not null
  holding text collate "C"
  since_ms bigint
  until_ms bigint
  is_system boolean not null
  added_by text collate "C" not null
  added_at_ms bigint not null
  constraint space_edge_check CHECK ((into_space <> from_space))
  constraint space_edge_check1 CHECK (((since_ms IS NULL) OR (until_ms IS NULL) OR (since_ms < until_ms)))
  constraint space_edge_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint space_edge_from_space_fkey FOREIGN KEY (from_space) REFERENCES space(uri)
  constraint space_edge_into_space_fkey FOREIGN KEY (into_space) REFERENCES space(uri)
  constraint space_edge_pkey PRIMARY KEY (into_space, from_space, role)
  CREATE INDEX space_edge_by_community ON public.space_edge USING btree (community)
  CREATE INDEX space_edge_by_source ON public.space_edge USING btree (from_space)

table space_end
  space text collate "C" not null
  community text collate "C" not null
  ended_at_ms bigint not null
  told boolean not null default false
  constraint space_end_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint space_end_pkey PRIMARY KEY (space)
  constraint space_end_space_fkey FOREIGN KEY (space) REFERENCES space(uri)

table space_host
  space text collate "C" not null
  asked_at_ms bigint not null
  says_access boolean not null
  strangers_at_ms bigint
  constraint space_host_pkey PRIMARY KEY (space)
  constraint space_host_space_fkey FOREIGN KEY (space) REFERENCES space(uri)

table space_settings
  uri text collate "C" not null
  name text
  read_policy text not null
  write_policy text not null
  description text
  constraint space_settings_pkey PRIMARY KEY (uri)
  constraint space_settings_read_policy_check CHECK (((read_policy = ANY (ARRAY['public'::text, 'memberList'::text])) OR (read_policy ~~ 'did:%'::text)))
  constraint space_settings_uri_fkey FOREIGN KEY (uri) REFERENCES space(uri)
  constraint space_settings_write_policy_check CHECK (((write_policy = ANY (ARRAY['public'::text, 'memberList'::text])) OR (write_policy ~~ 'did:%'::text)))

table spent
  id bytea not null
  keep_until_sec bigint not null
  constraint spent_id_check CHECK ((octet_length(id) = 32))
  constraint spent_pkey PRIMARY KEY (id)
  CREATE INDEX spent_by_age ON public.spent USING btree (keep_until_sec)

table spent_floor
  one boolean not null default true
  forgotten_until_sec bigint not null
  constraint spent_floor_one_check CHECK (one)
  constraint spent_floor_pkey PRIMARY KEY (one)

table standing_moved
  id bigint not null generated always as identity
  community text collate "C" not null
  did text collate "C"
  revision bigint not null
  taken_until_ms bigint not null default 0
  constraint standing_moved_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint standing_moved_pkey PRIMARY KEY (id)
  CREATE INDEX standing_moved_by_community ON public.standing_moved USING btree (community, id)

table steered_actual
  look text collate "C" not null
  did text collate "C" not null
  has smallint not null
  wants smallint
  constraint steered_actual_has_check CHECK (((has >= 0) AND (has <= 3)))
  constraint steered_actual_look_fkey FOREIGN KEY (look) REFERENCES steered_look(id) ON DELETE CASCADE
  constraint steered_actual_pkey PRIMARY KEY (look, did)
  constraint steered_actual_wants_check CHECK (((wants >= 0) AND (wants <= 3)))

table steered_basis
  space text collate "C" not null
  community text collate "C" not null
  revision bigint not null
  looked bigint not null
  constraint steered_basis_pkey PRIMARY KEY (space, community)
  constraint steered_basis_space_fkey FOREIGN KEY (space) REFERENCES steered_space(space) ON DELETE CASCADE

table steered_look
  id text collate "C" not null
  space text collate "C" not null
  asked_by text collate "C"
  state text collate "C" not null
  because text collate "C"
  began_at_ms bigint not null
  ended_at_ms bigint
  read integer not null default 0
  missing integer not null default 0
  extra integer not null default 0
  differing integer not null default 0
  settings text collate "C" not null default ''::text
  constraint steered_look_pkey PRIMARY KEY (id)
  constraint steered_look_space_fkey FOREIGN KEY (space) REFERENCES steered_space(space) ON DELETE CASCADE
  constraint steered_look_state_check CHECK ((state = ANY (ARRAY['reading'::text, 'shown'::text, 'applied'::text, 'failed'::text])))
  CREATE INDEX steered_look_by_space ON public.steered_look USING btree (space, began_at_ms)

table steered_member
  space text collate "C" not null
  did text collate "C" not null
  wants smallint not null
  has smallint
  plan bigint not null default 0
  is_held boolean not null default false
  refused text collate "C"
  constraint steered_member_has_check CHECK (((has >= 0) AND (has <= 3)))
  constraint steered_member_pkey PRIMARY KEY (space, did)
  constraint steered_member_space_fkey FOREIGN KEY (space) REFERENCES steered_space(space) ON DELETE CASCADE
  constraint steered_member_wants_check CHECK (((wants >= 0) AND (wants <= 3)))
  CREATE INDEX steered_member_to_do ON public.steered_member USING btree (space, wants) WHERE ((wants IS DISTINCT FROM has) AND (NOT is_held) AND (refused IS NULL))
  CREATE INDEX steered_member_trouble ON public.steered_member USING btree (space) WHERE (is_held OR (refused IS NOT NULL))

table steered_space
  space text collate "C" not null
  community text collate "C" not null
  bound_at_ms bigint not null
  mode text collate "C" not null
  state text collate "C" not null
  speaks text collate "C"
  begun_by text collate "C" not null
  begun_at_ms bigint not null
  fault text collate "C"
  fault_since_ms bigint
  again_at_ms bigint not null default 0
  failures integer not null default 0
  plan_no bigint not null default 0
  planned_at_ms bigint
  plan_after_ms bigint not null default 0
  plan_due_ms bigint
  there text collate "C"
  settings_due boolean not null default true
  reconciled_at_ms bigint
  reconcile_due_ms bigint not null
  constraint steered_space_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint steered_space_mode_check CHECK ((mode = ANY (ARRAY['hook'::text, 'projection'::text])))
  constraint steered_space_pkey PRIMARY KEY (space)
  constraint steered_space_space_fkey FOREIGN KEY (space) REFERENCES space(uri)
  constraint steered_space_speaks_check CHECK ((speaks = ANY (ARRAY['august'::text, 'october'::text])))
  constraint steered_space_state_check CHECK ((state = ANY (ARRAY['making'::text, 'kept'::text, 'missing'::text, 'ending'::text])))
  CREATE INDEX steered_space_by_community ON public.steered_space USING btree (community)

table writer
  space text collate "C" not null
  repo text collate "C" not null
  community text collate "C" not null
  repo_rev text collate "C" not null
  hash bytea
  space_rev bigint not null
  host text collate "C"
  constraint writer_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint writer_hash_check CHECK ((octet_length(hash) = 32))
  constraint writer_pkey PRIMARY KEY (space, repo)
  constraint writer_space_fkey FOREIGN KEY (space) REFERENCES space(uri)
  CREATE INDEX writer_by_host ON public.writer USING btree (space, host)
  CREATE UNIQUE INDEX writer_by_rev ON public.writer USING btree (space, space_rev)

table writer_set
  space text collate "C" not null
  community text collate "C" not null
  last_rev bigint not null
  told_rev bigint not null default 0
  constraint writer_set_community_fkey FOREIGN KEY (community) REFERENCES community_revision(community)
  constraint writer_set_pkey PRIMARY KEY (space)
  constraint writer_set_space_fkey FOREIGN KEY (space) REFERENCES space(uri)
  CREATE INDEX writer_set_to_tell ON public.writer_set USING btree (space) WHERE (last_rev > told_rev)
