-- Penalties of one pair that differ in the number of samples alone are rows of their own: one hid the other.

CREATE OR REPLACE VIEW stitch_penalties AS
WITH measured AS (
    SELECT first_id AS front_id, second_id AS end_id, metric, split, value, standard_error, samples, settings, seed, measured_at
    FROM pair_measurement WHERE metric IN ('stitch_penalty', 'stitch_loss_penalty', 'stitched_error')
), together AS (
    SELECT front_id, end_id, split, settings, seed, samples, max(measured_at) AS measured_at,
        any_value(value) FILTER (metric = 'stitch_penalty') AS penalty,
        any_value(standard_error) FILTER (metric = 'stitch_penalty') AS standard_error,
        any_value(value) FILTER (metric = 'stitch_loss_penalty') AS loss_penalty,
        any_value(standard_error) FILTER (metric = 'stitch_loss_penalty') AS loss_standard_error,
        any_value(value) FILTER (metric = 'stitched_error') AS error
    FROM measured GROUP BY front_id, end_id, split, settings, seed, samples
)
SELECT front_id, end_id, settings->>'end_cut_name' AS cut, (settings->>'end_cut')::INTEGER AS end_cut,
    (settings->>'front_cut')::INTEGER AS front_cut, settings->>'joint' AS joint,
    penalty, standard_error,
    greatest(-1, penalty * samples / (samples + 2) - 1.959964 * standard_error) AS low,
    least(1, penalty * samples / (samples + 2) + 1.959964 * standard_error) AS high,
    loss_penalty, loss_standard_error, error, samples, split,
    (settings->>'front_epoch')::INTEGER AS front_epoch, (settings->>'end_epoch')::INTEGER AS end_epoch,
    settings, seed, measured_at
FROM together;

COMMENT ON VIEW stitch_penalties IS 'What it costs to join the front of one model to the end of another: a row for each joint that was measured.';
COMMENT ON COLUMN stitch_penalties.front_id IS 'The model whose front it is.';
COMMENT ON COLUMN stitch_penalties.end_id IS 'The model whose end it is.';
COMMENT ON COLUMN stitch_penalties.cut IS 'The layer or block of the end''s model that the joint stands behind.';
COMMENT ON COLUMN stitch_penalties.end_cut IS 'The number of that cut: blocks of the end''s model that are left out.';
COMMENT ON COLUMN stitch_penalties.front_cut IS 'The number of the front''s cut: blocks of its model that are passed.';
COMMENT ON COLUMN stitch_penalties.joint IS 'least squares or trained.';
COMMENT ON COLUMN stitch_penalties.penalty IS 'Error of the stitched network minus the end''s own, a share of the samples; negative where it is better.';
COMMENT ON COLUMN stitch_penalties.standard_error IS 'Standard error of the penalty, for another draw of samples.';
COMMENT ON COLUMN stitch_penalties.low IS 'Lower bound of its 95 % confidence interval (Bonett and Price).';
COMMENT ON COLUMN stitch_penalties.high IS 'Upper bound of its 95 % confidence interval.';
COMMENT ON COLUMN stitch_penalties.loss_penalty IS 'Cross-entropy of the stitched network minus the end''s own, nats.';
COMMENT ON COLUMN stitch_penalties.loss_standard_error IS 'Standard error of the loss penalty.';
COMMENT ON COLUMN stitch_penalties.error IS 'Error of the stitched network, a share of the samples.';
COMMENT ON COLUMN stitch_penalties.front_epoch IS 'Checkpoint of the front''s model; NULL for the final one.';
COMMENT ON COLUMN stitch_penalties.end_epoch IS 'Checkpoint of the end''s model; NULL for the final one.';
