-- schema_0013.sql - tracking links are signed with keys that are derived
-- (shared/mail/mg_track.h): none are kept.

DROP TABLE tracking_key;

-- Who clicks is asked when his copy was delivered: a message may have a
-- thousand recipients.
DROP INDEX event_message;
CREATE INDEX event_message ON event(message_id, recipient);
