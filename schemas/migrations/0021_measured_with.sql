-- The view of phases says what a cell's metrics were measured with: short curves change phases.

ALTER TABLE cell_phase ADD COLUMN measured_with JSON;
COMMENT ON COLUMN cell_phase.measured_with IS 'The settings of each metric of the cell, as a JSON object by metric, {"mode_connectivity": {"epochs": 20, ...}, ...}; a list of them where they differ within the cell.';

CREATE OR REPLACE VIEW phases AS
SELECT population.name AS population, cell_phase.* EXCLUDE (probabilities, thresholds, rule_sha256, settings),
    accuracy.test_accuracy
FROM cell_phase
LEFT JOIN population USING (population_id)
LEFT JOIN (
    SELECT member.population_id, cells.load, cells.temperature, cells.rule, coalesce(cells.held::VARCHAR, '{}') AS held_fixed,
        avg(training.value) AS test_accuracy
    FROM cell_phase AS cells
    JOIN member ON member.population_id = cells.population_id
        AND cells.load = CASE cells.load_axis WHEN 'width' THEN member.width WHEN 'depth' THEN member.depth
            WHEN 'label_noise' THEN member.label_noise WHEN 'data_fraction' THEN member.data_fraction END
        AND cells.temperature = CASE cells.temperature_axis WHEN 'batch_size' THEN member.batch_size
            WHEN 'learning_rate' THEN member.learning_rate WHEN 'weight_decay' THEN member.weight_decay
            WHEN 'epochs' THEN member.epochs END
        AND coalesce(member.width = (cells.held->>'$.width')::DOUBLE, true)
        AND coalesce(member.depth = (cells.held->>'$.depth')::DOUBLE, true)
        AND coalesce(member.label_noise = (cells.held->>'$.label_noise')::DOUBLE, true)
        AND coalesce(member.data_fraction = (cells.held->>'$.data_fraction')::DOUBLE, true)
        AND coalesce(member.batch_size = (cells.held->>'$.batch_size')::DOUBLE, true)
        AND coalesce(member.learning_rate = (cells.held->>'$.learning_rate')::DOUBLE, true)
        AND coalesce(member.weight_decay = (cells.held->>'$.weight_decay')::DOUBLE, true)
        AND coalesce(member.epochs = (cells.held->>'$.epochs')::DOUBLE, true)
        AND coalesce(member.convection = (cells.held->>'$.convection')::DOUBLE, true)
        AND coalesce(member.dropout = (cells.held->>'$.dropout')::DOUBLE, true)
        AND coalesce(member.activation = cells.held->>'$.activation', true)
        AND coalesce(member.initialisation = cells.held->>'$.initialisation', true)
        AND coalesce(member.optimizer = cells.held->>'$.optimizer', true)
    JOIN training ON training.model_id = member.model_id AND training.split = 'test' AND training.metric = 'accuracy'
    GROUP BY ALL
) AS accuracy ON accuracy.population_id = cell_phase.population_id AND accuracy.load = cell_phase.load
    AND accuracy.temperature = cell_phase.temperature AND accuracy.rule = cell_phase.rule
    AND accuracy.held_fixed = coalesce(cell_phase.held::VARCHAR, '{}');
COMMENT ON VIEW phases IS 'The phase of each cell of each population''s grid, with the measurements that it follows from.';
COMMENT ON COLUMN phases.population IS 'Name of the population''s recipe.';
COMMENT ON COLUMN phases.test_accuracy IS 'Mean test accuracy of the cell''s members after training, 0 to 1; no rule looks at it.';
