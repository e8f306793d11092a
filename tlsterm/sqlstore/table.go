package sqlstore

import (
	"fmt"
	"strings"
)

const (
	locksSuffix   = "_locks"
	maxIdentifier = 63 // PostgreSQL cuts longer names without a word
)

// A table is a checked name, quoted for use in statements.
type table struct {
	name          string // as configured
	values, locks string // quoted
}

// parseTable reads "schema.table".
func parseTable(name string, errs *ConfigErrors) table {
	if name == "" {
		name = DefaultTable
	}
	schema, base, qualified := strings.Cut(name, ".")
	if why := badTable(schema, base, qualified); why != "" {
		errs.Add("Table", name, why, `write it like "`+DefaultTable+`"`)
	}
	return table{
		name:   name,
		values: quote(schema) + "." + quote(base),
		locks:  quote(schema) + "." + quote(base+locksSuffix),
	}
}

func badTable(schema, base string, qualified bool) string {
	switch {
	case !qualified:
		return "which schema this means depends on who connects"
	case schema == "" || base == "":
		return "a part is missing"
	case strings.Contains(base, "."):
		return "more than two parts"
	case len(schema) > maxIdentifier || len(base)+len(locksSuffix) > maxIdentifier:
		return fmt.Sprintf("longer than %d bytes for the schema or %d for the table", maxIdentifier, maxIdentifier-len(locksSuffix))
	}
	return badText(schema + base)
}

// quote writes an identifier so that nothing in it is anything else (PostgreSQL
// documentation, 4.1.1).
func quote(identifier string) string {
	return `"` + strings.ReplaceAll(identifier, `"`, `""`) + `"`
}

// The statements that make the tables. Comparison by bytes lets the index find
// what lies below a directory, whatever language the database is set to.
const (
	createValues = `CREATE TABLE IF NOT EXISTS {values} (
	key      text COLLATE "C" PRIMARY KEY,
	value    bytea NOT NULL,
	sealed   text NOT NULL,          -- the ID of the key that sealed the value; '' if it is in clear
	modified timestamptz NOT NULL
)`
	createLocks = `CREATE TABLE IF NOT EXISTS {locks} (
	name     text COLLATE "C" PRIMARY KEY,
	token    text NOT NULL,          -- who knows it holds the lock
	holder   text NOT NULL,          -- for people
	acquired timestamptz NOT NULL,
	expires  timestamptz NOT NULL    -- when others may replace the token
)`
)

// sql puts the names of the tables into a statement.
func (t table) sql(statement string) string {
	return strings.NewReplacer("{values}", t.values, "{locks}", t.locks).Replace(statement)
}

// Schema returns the statements that create the tables of a Store with this
// Config.Table, for people who do not let a service do so. They may be executed
// again. The service itself then needs SELECT, INSERT, UPDATE and DELETE on both
// tables. The error is a ConfigErrors.
func Schema(tableName string) (string, error) {
	var errs ConfigErrors
	t := parseTable(tableName, &errs)
	if err := errs.Err(); err != nil {
		return "", err
	}
	return t.sql(createValues) + ";\n" + t.sql(createLocks) + ";\n", nil
}
