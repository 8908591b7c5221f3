-- schema_0013.sql - tracking links are signed with keys that are derived
-- (shared/mail/mg_track.h): none are kept.

DROP TABLE tracking_key;
