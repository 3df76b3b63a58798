-- Scores of single examples, averaged over the models of a selection.

CREATE TABLE example_measurement (
    selection VARCHAR, population_id VARCHAR, models BIGINT, dataset VARCHAR, split_seed BIGINT, split VARCHAR,
    example BIGINT, metric VARCHAR, value DOUBLE, standard_error DOUBLE, settings JSON, seed BIGINT, reason VARCHAR,
    measured_at TIMESTAMPTZ
);
COMMENT ON TABLE example_measurement IS 'A score of one example of a dataset, averaged over models.';
COMMENT ON COLUMN example_measurement.selection IS 'SHA-256 over the names of the models, mined ones with a hash of their weights.';
COMMENT ON COLUMN example_measurement.population_id IS 'The population of the models; NULL where they are of several or none.';
COMMENT ON COLUMN example_measurement.models IS 'Models that the score is averaged over.';
COMMENT ON COLUMN example_measurement.dataset IS 'The dataset.';
COMMENT ON COLUMN example_measurement.split_seed IS 'Seed of its split.';
COMMENT ON COLUMN example_measurement.split IS 'Split of the data.';
COMMENT ON COLUMN example_measurement.example IS 'Number of the example within the split, from 0; NULL where no score could be had.';
COMMENT ON COLUMN example_measurement.metric IS 'el2n or grand.';
COMMENT ON COLUMN example_measurement.value IS 'The mean over the models; NULL where it could not be had.';
COMMENT ON COLUMN example_measurement.standard_error IS 'Its standard error over the models; NULL for a single one.';
COMMENT ON COLUMN example_measurement.settings IS 'Everything else that the value depends on, as a JSON object.';
COMMENT ON COLUMN example_measurement.seed IS 'Seed of the measurement; NULL where nothing is drawn.';
COMMENT ON COLUMN example_measurement.reason IS 'Why there is no value; NULL where there is one.';
COMMENT ON COLUMN example_measurement.measured_at IS 'When (UTC).';
