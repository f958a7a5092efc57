-- What changes with every delivery is in no index any more, so that PostgreSQL writes the row alone, beside the one before it in its page.
--
-- Whoever is behind is found by the space: `told_rev` is the revision up to which nobody in it waits but those who are looked for by
-- themselves. These have a `look_at_ms`, and aren't looked at before it. All others have none, and get none while all goes well.
-- `taken_until_ms`: a process has the lane that delivers to it until then; 0: nobody has it. What a registration wants to hear of needs no
-- note of its own: it is the newest revision of its space.
alter table registration add column taken_until_ms bigint not null default 0;
alter table registration set (fillfactor = 50);
drop index registration_due;
alter table registration alter column look_at_ms drop default, alter column look_at_ms drop not null;
-- Who waits now is looked for by themselves, at the moment that was noted, and goes with the others once that went well.
update registration set look_at_ms = null where ended_at_ms is null and wanted_rev <= delivered_rev;
alter table registration drop column wanted_rev;
create index registration_due on registration (look_at_ms) where look_at_ms is not null and paused_at_ms is null;
