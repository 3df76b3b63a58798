-- What a measurement cost, why one could not be had, and the phases of a population's cells by stated rules.

ALTER TABLE measurement ADD COLUMN probes BIGINT;
ALTER TABLE measurement ADD COLUMN reason VARCHAR;
ALTER TABLE pair_measurement ADD COLUMN probes BIGINT;
ALTER TABLE pair_measurement ADD COLUMN reason VARCHAR;
COMMENT ON COLUMN measurement.value IS 'The value; NULL where it could not be had.';
COMMENT ON COLUMN measurement.probes IS 'Random vectors or batches that an estimate rests on; NULL where there are none.';
COMMENT ON COLUMN measurement.reason IS 'Why there is no value; NULL where there is one.';
COMMENT ON COLUMN pair_measurement.value IS 'The value; NULL where it could not be had.';
COMMENT ON COLUMN pair_measurement.probes IS 'Random vectors or batches that an estimate rests on; NULL where there are none.';
COMMENT ON COLUMN pair_measurement.reason IS 'Why there is no value; NULL where there is one.';

CREATE TABLE phase_rule (rule VARCHAR, version INTEGER, sha256 VARCHAR, content JSON, added_at TIMESTAMPTZ);
COMMENT ON TABLE phase_rule IS 'A rule by which cells have been given phases: metrics, thresholds, how they are calibrated, and the tree of questions.';
COMMENT ON COLUMN phase_rule.rule IS 'Its name.';
COMMENT ON COLUMN phase_rule.version IS 'Its version.';
COMMENT ON COLUMN phase_rule.sha256 IS 'SHA-256 over the whole rule: what tells two rules of one name apart.';
COMMENT ON COLUMN phase_rule.content IS 'The whole rule as a JSON object.';
COMMENT ON COLUMN phase_rule.added_at IS 'When it was first used in this lake (UTC).';

CREATE TABLE cell_phase (
    population_id VARCHAR, rule VARCHAR, rule_sha256 VARCHAR, load_axis VARCHAR, load DOUBLE, temperature_axis VARCHAR,
    temperature DOUBLE, members BIGINT, phase VARCHAR, probability DOUBLE, probabilities JSON, distance DOUBLE,
    nearest VARCHAR, train_loss DOUBLE, train_error DOUBLE, mode_connectivity DOUBLE, cka DOUBLE,
    log_hessian_trace DOUBLE, thresholds JSON, judged_at TIMESTAMPTZ
);
COMMENT ON TABLE cell_phase IS 'The phase of one cell of a population''s grid by one rule.';
COMMENT ON COLUMN cell_phase.population_id IS 'The population.';
COMMENT ON COLUMN cell_phase.rule IS 'Name of the rule.';
COMMENT ON COLUMN cell_phase.rule_sha256 IS 'SHA-256 of the rule, as in phase_rule.';
COMMENT ON COLUMN cell_phase.load_axis IS 'The column of member that is the grid''s load: width, depth, label_noise, ...';
COMMENT ON COLUMN cell_phase.load IS 'The cell''s value of it.';
COMMENT ON COLUMN cell_phase.temperature_axis IS 'The column of member that is the grid''s temperature: batch_size, learning_rate, ...';
COMMENT ON COLUMN cell_phase.temperature IS 'The cell''s value of it.';
COMMENT ON COLUMN cell_phase.members IS 'Members of the cell.';
COMMENT ON COLUMN cell_phase.phase IS 'The phase; where information is missing unknown, or the phases that are left, as I or II.';
COMMENT ON COLUMN cell_phase.probability IS 'Share of the bootstrap''s draws over seeds and pairs that have this phase.';
COMMENT ON COLUMN cell_phase.probabilities IS 'That share for each phase of the rule, as a JSON object.';
COMMENT ON COLUMN cell_phase.distance IS 'Distance to the nearest threshold, in the rule''s unit of its metric.';
COMMENT ON COLUMN cell_phase.nearest IS 'The metric of that threshold.';
COMMENT ON COLUMN cell_phase.train_loss IS 'Mean training loss of the members, nats.';
COMMENT ON COLUMN cell_phase.train_error IS 'Mean training error of the members, percentage points.';
COMMENT ON COLUMN cell_phase.mode_connectivity IS 'Mean mode connectivity of the pairs, percentage points of training error; negative is a barrier.';
COMMENT ON COLUMN cell_phase.cka IS 'Mean CKA of the pairs'' logits.';
COMMENT ON COLUMN cell_phase.log_hessian_trace IS 'Mean of the decimal logarithm of the members'' Hessian traces.';
COMMENT ON COLUMN cell_phase.thresholds IS 'The thresholds that held for this population, as a JSON object.';
COMMENT ON COLUMN cell_phase.judged_at IS 'When (UTC).';

CREATE VIEW phases AS
SELECT population.name AS population, cell_phase.* EXCLUDE (probabilities, thresholds, rule_sha256),
    accuracy.test_accuracy
FROM cell_phase
LEFT JOIN population USING (population_id)
LEFT JOIN (
    SELECT member.population_id, cells.load, cells.temperature, cells.rule, avg(training.value) AS test_accuracy
    FROM cell_phase AS cells
    JOIN member ON member.population_id = cells.population_id
        AND cells.load = CASE cells.load_axis WHEN 'width' THEN member.width WHEN 'depth' THEN member.depth
            WHEN 'label_noise' THEN member.label_noise WHEN 'data_fraction' THEN member.data_fraction END
        AND cells.temperature = CASE cells.temperature_axis WHEN 'batch_size' THEN member.batch_size
            WHEN 'learning_rate' THEN member.learning_rate WHEN 'weight_decay' THEN member.weight_decay
            WHEN 'epochs' THEN member.epochs END
    JOIN training ON training.model_id = member.model_id AND training.split = 'test' AND training.metric = 'accuracy'
    GROUP BY ALL
) AS accuracy USING (population_id, load, temperature, rule);
COMMENT ON VIEW phases IS 'The phase of each cell of each population''s grid, with the measurements that it follows from.';
COMMENT ON COLUMN phases.population IS 'Name of the population''s recipe.';
COMMENT ON COLUMN phases.test_accuracy IS 'Mean test accuracy of the cell''s members after training, 0 to 1; no rule looks at it.';
