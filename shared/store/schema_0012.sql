-- schema_0012.sql - dead letters of a domain are found.

CREATE INDEX dead_letter_domain ON dead_letter(domain_id, id);
