-- What searches have tried, so that they can be looked at and gone on with.

CREATE TABLE trial (
    search_id VARCHAR, number INTEGER, restart INTEGER, pass INTEGER, action VARCHAR, model_id VARCHAR, epoch INTEGER,
    candidate VARCHAR, members INTEGER, score DOUBLE, kept BOOLEAN, tried_at TIMESTAMPTZ
);
COMMENT ON TABLE trial IS 'One step of the search for a soup''s ingredients: an evaluated candidate, and whether it was kept.';
COMMENT ON COLUMN trial.search_id IS 'The search: a hash of models, checkpoints, data and settings, so that the same search has the same name.';
COMMENT ON COLUMN trial.number IS 'Its place in the search, from 0.';
COMMENT ON COLUMN trial.restart IS 'Which order of the models it belongs to: 0 is best first, others are drawn.';
COMMENT ON COLUMN trial.pass IS 'Which time the models were gone through, from 1.';
COMMENT ON COLUMN trial.action IS 'add or remove.';
COMMENT ON COLUMN trial.model_id IS 'The model that was added or removed.';
COMMENT ON COLUMN trial.epoch IS 'Its checkpoint; NULL for the final one.';
COMMENT ON COLUMN trial.candidate IS 'Hash of the models that the candidate is the average of.';
COMMENT ON COLUMN trial.members IS 'How many these are.';
COMMENT ON COLUMN trial.score IS 'Accuracy of the candidate on the validation split, 0 to 1.';
COMMENT ON COLUMN trial.kept IS 'Whether the search went on with it.';
COMMENT ON COLUMN trial.tried_at IS 'When it was written down (UTC).';
