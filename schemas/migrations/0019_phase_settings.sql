-- With what settings the metrics of a cell were measured: the same population may have been measured with several.

ALTER TABLE cell_phase ADD COLUMN settings JSON;
COMMENT ON COLUMN cell_phase.settings IS 'Settings of the metrics other than their own, as a JSON object.';

CREATE OR REPLACE VIEW phases AS
SELECT population.name AS population, cell_phase.* EXCLUDE (probabilities, thresholds, rule_sha256, settings),
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
