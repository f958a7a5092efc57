-- What one community makes of a host counts for none of the others. Times are milliseconds since 1970.

-- In whose name a call was made. Null: before that was noted.
alter table revocation_call add column community text collate "C";

-- A host that didn't know the method was deaf to everybody; now it is so in one space, where its notices say it. `deaf`: the host answered
-- that it doesn't take such a call, whichever of its accounts was named.
alter table revocation_host drop column deaf_until_ms;
alter table revocation_notice drop constraint revocation_notice_state_check;
alter table revocation_notice add constraint revocation_notice_state_check
  check (state in ('due', 'told', 'cannot', 'deaf', 'ended', 'moved'));
