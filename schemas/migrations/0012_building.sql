-- How members came about: why one has no result, and what their groups were trained on.

ALTER TABLE member ADD COLUMN group_name VARCHAR;
ALTER TABLE member ADD COLUMN failed_epoch INTEGER;
ALTER TABLE member ADD COLUMN reason VARCHAR;

COMMENT ON COLUMN member.state IS 'trained, diverged (its weights are the last finite ones) or failed (it has no weights).';
COMMENT ON COLUMN member.group_name IS 'The group with which it was trained: members of the same shapes and batch size.';
COMMENT ON COLUMN member.failed_epoch IS 'Epoch in which its training failed, from 1; NULL if it did not.';
COMMENT ON COLUMN member.reason IS 'What was not finite, or why its training failed; NULL for trained members.';

CREATE TABLE sitting (
    population_id VARCHAR, group_name VARCHAR, number INTEGER, step BIGINT, begun_at TIMESTAMPTZ, seconds DOUBLE,
    backend VARCHAR, backend_reason VARCHAR, device VARCHAR, device_name VARCHAR, software VARCHAR, flags JSON,
    peak_memory BIGINT
);
COMMENT ON TABLE sitting IS 'A process that trained a group of a population, or a part of its training: a training that was interrupted has several.';
COMMENT ON COLUMN sitting.population_id IS 'The population.';
COMMENT ON COLUMN sitting.group_name IS 'The group.';
COMMENT ON COLUMN sitting.number IS 'Counts the sittings of a group, from 0.';
COMMENT ON COLUMN sitting.step IS 'Steps of the training that were done before it.';
COMMENT ON COLUMN sitting.begun_at IS 'When it began (UTC).';
COMMENT ON COLUMN sitting.seconds IS 'Seconds from there until the training was done, or was kept for the last time.';
COMMENT ON COLUMN sitting.backend IS 'How the members were trained at once: sequential, vmap, ...';
COMMENT ON COLUMN sitting.backend_reason IS 'Why it was this one.';
COMMENT ON COLUMN sitting.device IS 'Device: cpu, cuda:0, ...';
COMMENT ON COLUMN sitting.device_name IS 'The maker''s name of the processor or GPU.';
COMMENT ON COLUMN sitting.software IS 'Versions of weightlake, torch and Python, and on a GPU of CUDA and cuDNN.';
COMMENT ON COLUMN sitting.flags IS 'Settings that decide about bits, as a JSON object: threads, deterministic, ...';
COMMENT ON COLUMN sitting.peak_memory IS 'Bytes at most: of the GPU''s memory, or of the whole process on a CPU.';

CREATE VIEW cells AS
WITH result AS (
    SELECT model_id,
        max_by(value, epoch) FILTER (split = 'train' AND metric = 'loss') AS train_loss,
        max_by(value, epoch) FILTER (split = 'train' AND metric = 'accuracy') AS train_accuracy,
        max_by(value, epoch) FILTER (split = 'validation' AND metric = 'accuracy') AS validation_accuracy,
        max_by(value, epoch) FILTER (split = 'test' AND metric = 'loss') AS test_loss,
        max_by(value, epoch) FILTER (split = 'test' AND metric = 'accuracy') AS test_accuracy
    FROM training GROUP BY model_id
)
SELECT population_id, population.name AS population, population.architecture, population.dataset,
    width, depth, label_noise, data_fraction, convection, batch_size, learning_rate, weight_decay, epochs,
    activation, dropout, initialisation, optimizer, schedule,
    count(*) AS members,
    count(*) FILTER (member.state = 'trained') AS trained,
    count(*) FILTER (member.state = 'diverged') AS diverged,
    count(*) FILTER (member.state = 'failed') AS failed,
    avg(train_loss) FILTER (member.state = 'trained') AS train_loss,
    avg(train_accuracy) FILTER (member.state = 'trained') AS train_accuracy,
    avg(validation_accuracy) FILTER (member.state = 'trained') AS validation_accuracy,
    avg(test_loss) FILTER (member.state = 'trained') AS test_loss,
    avg(test_accuracy) FILTER (member.state = 'trained') AS test_accuracy,
    sem(test_accuracy) FILTER (member.state = 'trained') AS test_accuracy_error
FROM member JOIN population USING (population_id) LEFT JOIN result USING (model_id)
GROUP BY ALL;

COMMENT ON VIEW cells IS 'A cell of a population: members that differ in seeds alone, with means over those that were trained. Members that diverged or failed are counted and in no mean.';
COMMENT ON COLUMN cells.members IS 'Members of the cell that the lake knows.';
COMMENT ON COLUMN cells.trained IS 'Those that were trained to the end: the means are over them.';
COMMENT ON COLUMN cells.diverged IS 'Those whose loss or weights stopped being finite.';
COMMENT ON COLUMN cells.failed IS 'Those whose training failed.';
COMMENT ON COLUMN cells.train_loss IS 'Mean training loss of the last epoch, nats.';
COMMENT ON COLUMN cells.train_accuracy IS 'Mean training accuracy of the last epoch, 0 to 1.';
COMMENT ON COLUMN cells.validation_accuracy IS 'Mean accuracy on the validation split, 0 to 1.';
COMMENT ON COLUMN cells.test_loss IS 'Mean loss on the test split, nats.';
COMMENT ON COLUMN cells.test_accuracy IS 'Mean accuracy on the test split, 0 to 1.';
COMMENT ON COLUMN cells.test_accuracy_error IS 'Standard error of that mean; NULL for a single member.';
COMMENT ON COLUMN cells.population IS 'Name of its recipe.';
