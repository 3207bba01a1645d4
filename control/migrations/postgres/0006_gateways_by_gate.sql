-- Each gate of an Envoy has a list of its own, and so a receipt of its own. What is known already stays: an Envoy's
-- row is that of the gate that asked last, and its others come when they ask.

ALTER TABLE mpgate.gateways
    DROP CONSTRAINT gateways_pkey,
    ADD PRIMARY KEY (principal_id, instance, gate);
