-- What members of a population may differ in beside width, batch size, seeds, learning rate, decay and label noise.

ALTER TABLE member ADD COLUMN depth INTEGER;
ALTER TABLE member ADD COLUMN activation VARCHAR;
ALTER TABLE member ADD COLUMN dropout DOUBLE;
ALTER TABLE member ADD COLUMN initialisation VARCHAR;
ALTER TABLE member ADD COLUMN optimizer VARCHAR;
ALTER TABLE member ADD COLUMN schedule VARCHAR;
ALTER TABLE member ADD COLUMN data_fraction DOUBLE;
ALTER TABLE member ADD COLUMN convection DOUBLE;

COMMENT ON TABLE member IS 'A trained model of a population. Width, depth, label noise, data fraction and convection are its load; batch size, learning rate, weight decay and epochs its temperature.';
COMMENT ON COLUMN member.depth IS 'Hidden layers or blocks; NULL for the architecture''s own number.';
COMMENT ON COLUMN member.activation IS 'Activation function; NULL for the architecture''s own.';
COMMENT ON COLUMN member.dropout IS 'Share of values that training dropped; NULL for none.';
COMMENT ON COLUMN member.initialisation IS 'How initial weights were drawn: torch, uniform, normal, kaiming_uniform, ...; NULL for the architecture''s own way.';
COMMENT ON COLUMN member.optimizer IS 'sgd, adam or adamw.';
COMMENT ON COLUMN member.schedule IS 'Learning rate schedule: constant, cosine, onecycle or step.';
COMMENT ON COLUMN member.data_fraction IS 'Share of the training samples that were used, 0 to 1.';
COMMENT ON COLUMN member.convection IS 'Coefficient of the equation that a physics-informed network solves; NULL for others.';
COMMENT ON COLUMN population.input_shape IS 'Shape of one sample: channels, height, width of an image; places of a text; numbers of a point.';
COMMENT ON COLUMN training.metric IS 'loss (cross-entropy in nats, or the physics loss), accuracy (share, 0 to 1), or squared_error (mean squared distance from the exact solution).';
