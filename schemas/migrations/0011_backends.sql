-- How members were trained: the backend, and why it was that one.

ALTER TABLE member ADD COLUMN backend VARCHAR;
ALTER TABLE member ADD COLUMN backend_reason VARCHAR;

COMMENT ON COLUMN member.backend IS 'How its group was trained: sequential, vmap, compiled or lanes; all give the same weights up to rounding. NULL where that was not kept.';
COMMENT ON COLUMN member.backend_reason IS 'Why this backend was chosen.';
