-- How soups of one selection compare, on clean and on corrupted test data.

CREATE TABLE soup_comparison (
    comparison_id VARCHAR, sql VARCHAR, models INTEGER, candidate VARCHAR, condition VARCHAR, severity INTEGER,
    model_id VARCHAR, accuracy DOUBLE, low DOUBLE, high DOUBLE, gain DOUBLE, gain_low DOUBLE, gain_high DOUBLE,
    samples INTEGER, compared_at TIMESTAMPTZ
);
COMMENT ON TABLE soup_comparison IS 'Accuracy of one kind of soup of a selection on the test split, clean or corrupted, beside the best single model.';
COMMENT ON COLUMN soup_comparison.comparison_id IS 'The comparison: a hash of models, checkpoints, data and settings, so that the same comparison has the same name.';
COMMENT ON COLUMN soup_comparison.sql IS 'The query that selected the models.';
COMMENT ON COLUMN soup_comparison.models IS 'How many it selected.';
COMMENT ON COLUMN soup_comparison.candidate IS 'best single, uniform, greedy, learned, aligned, aligned and repaired, or ensemble.';
COMMENT ON COLUMN soup_comparison.condition IS 'clean, the name of a corruption, or corrupted: all corruptions together.';
COMMENT ON COLUMN soup_comparison.severity IS 'Of the corruptions, 1 to 5.';
COMMENT ON COLUMN soup_comparison.model_id IS 'The candidate where it is a model of the lake; NULL for others.';
COMMENT ON COLUMN soup_comparison.accuracy IS 'Accuracy, 0 to 1.';
COMMENT ON COLUMN soup_comparison.low IS 'Lower end of its 95 % interval, by the bootstrap over samples.';
COMMENT ON COLUMN soup_comparison.high IS 'Upper end.';
COMMENT ON COLUMN soup_comparison.gain IS 'Accuracy minus that of the best single model on the same samples.';
COMMENT ON COLUMN soup_comparison.gain_low IS 'Lower end of its 95 % interval, by the bootstrap over samples.';
COMMENT ON COLUMN soup_comparison.gain_high IS 'Upper end.';
COMMENT ON COLUMN soup_comparison.samples IS 'Samples that were judged; corruptions of one are one.';
COMMENT ON COLUMN soup_comparison.compared_at IS 'When it was written down (UTC).';
