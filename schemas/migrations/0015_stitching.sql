-- Stitching: what joints cost, and the networks that a stitchable network holds.

CREATE VIEW stitch_penalties AS
WITH measured AS (
    SELECT first_id AS front_id, second_id AS end_id, metric, split, value, standard_error, samples, settings, seed, measured_at
    FROM pair_measurement WHERE metric IN ('stitch_penalty', 'stitch_loss_penalty', 'stitched_error')
), together AS (
    SELECT front_id, end_id, split, settings, seed, any_value(samples) AS samples, max(measured_at) AS measured_at,
        any_value(value) FILTER (metric = 'stitch_penalty') AS penalty,
        any_value(standard_error) FILTER (metric = 'stitch_penalty') AS standard_error,
        any_value(value) FILTER (metric = 'stitch_loss_penalty') AS loss_penalty,
        any_value(standard_error) FILTER (metric = 'stitch_loss_penalty') AS loss_standard_error,
        any_value(value) FILTER (metric = 'stitched_error') AS error
    FROM measured GROUP BY front_id, end_id, split, settings, seed
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

CREATE TABLE stitch (
    model_id VARCHAR, stitch INTEGER, path VARCHAR, hops INTEGER, stage VARCHAR, flops BIGINT, parameters BIGINT,
    latency DOUBLE, accuracy DOUBLE, standard_error DOUBLE, samples BIGINT, on_front BOOLEAN
);
COMMENT ON TABLE stitch IS 'One of the networks that a stitchable network holds, at one stage of its making, scored on test data.';
COMMENT ON COLUMN stitch.model_id IS 'The stitchable network.';
COMMENT ON COLUMN stitch.stitch IS 'Its index: network.at(index).';
COMMENT ON COLUMN stitch.path IS 'Its way: 0@3>1:2 runs anchor 0 up to cut 3 and anchor 1 from cut 2 on. Anchors are ordered by cost.';
COMMENT ON COLUMN stitch.hops IS 'Joints on its way; 0 for an anchor.';
COMMENT ON COLUMN stitch.stage IS 'random (joints as drawn), least squares, or trained.';
COMMENT ON COLUMN stitch.flops IS 'FLOPs for one sample, two for a multiplication with its addition, as torch counts them.';
COMMENT ON COLUMN stitch.parameters IS 'Parameters that it runs.';
COMMENT ON COLUMN stitch.latency IS 'Seconds for a batch of 64 samples on the machine that made it, median of five.';
COMMENT ON COLUMN stitch.accuracy IS 'Share of correct predictions, 0 to 1.';
COMMENT ON COLUMN stitch.standard_error IS 'Its standard error.';
COMMENT ON COLUMN stitch.samples IS 'Test samples.';
COMMENT ON COLUMN stitch.on_front IS 'Whether it is on the Pareto front of its stage: none that costs as little is as accurate.';
