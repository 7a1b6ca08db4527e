BEGIN TRANSACTION;
CREATE TABLE masumi_journal (name VARCHAR(40) NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (name));
INSERT INTO masumi_journal VALUES('version',1);
CREATE TABLE masumi_hires (
	hire_id VARCHAR(40) NOT NULL, "key" VARCHAR(64) NOT NULL, open_key VARCHAR(64), state VARCHAR(24) NOT NULL,
	is_open BOOLEAN NOT NULL, version INTEGER NOT NULL, budget VARCHAR(200) NOT NULL, service VARCHAR(512) NOT NULL,
	created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL, lease_owner VARCHAR(64), lease_until_ms BIGINT NOT NULL,
	record TEXT NOT NULL, PRIMARY KEY (hire_id), UNIQUE (open_key)
);
CREATE TABLE masumi_amounts (
	hire_id VARCHAR(40) NOT NULL, unit VARCHAR(250) NOT NULL, budget VARCHAR(200) NOT NULL,
	service VARCHAR(512) NOT NULL, at_ms BIGINT NOT NULL, money VARCHAR(12) NOT NULL, quantity BIGINT NOT NULL,
	returned BIGINT NOT NULL, PRIMARY KEY (hire_id, unit)
);
CREATE TABLE masumi_calls (call_id VARCHAR(64) NOT NULL, hire_id VARCHAR(40) NOT NULL, PRIMARY KEY (call_id));
CREATE TABLE masumi_budgets (name VARCHAR(200) NOT NULL, limits TEXT NOT NULL, PRIMARY KEY (name));
INSERT INTO masumi_hires VALUES('a1','k1','k1','locked',TRUE,7,'default','s',10,20,NULL,0,'{"hire": "a1"}');
INSERT INTO masumi_amounts VALUES('a1','','default','s',10,'locked',1000000,0);
INSERT INTO masumi_calls VALUES('c1','a1');
INSERT INTO masumi_budgets VALUES('default','20 ADA');
CREATE INDEX ix_masumi_hires_is_open ON masumi_hires (is_open);
CREATE INDEX ix_masumi_hires_key ON masumi_hires ("key");
CREATE INDEX masumi_amounts_budget ON masumi_amounts (budget, unit);
COMMIT;
