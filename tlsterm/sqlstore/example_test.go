package sqlstore_test

import (
	"database/sql"
	"fmt"
	"log"
	"os"

	"github.com/caddyserver/certmagic"

	"github.com/knownhops/knownhops/tlsterm/sqlstore"
)

// A fleet shares its certificates through a database that learns no private key.
func Example() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // any driver for PostgreSQL, imported by the program
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(sqlstore.Config{
		DB:   db,
		Keys: []sqlstore.Key{{ID: "2026", Secret: "env:CERT_SEAL_KEY"}}, // openssl rand -base64 32
	})
	if err != nil {
		log.Fatal(err)
	}
	var storage certmagic.Storage = store
	_ = storage // for tlsterm's ACME settings, or for certmagic itself
}

// Every mistake is reported at once.
func ExampleNew_mistakes() {
	_, err := sqlstore.New(sqlstore.Config{Table: "certificates", Lease: -1})
	fmt.Println(err)
	// Output:
	// DB: there is no database; pass what sql.Open returned
	// Table: "certificates": which schema this means depends on who connects; write it like "public.tlsterm"
	// Lease: "-1ns": out of bounds; use 1s to 10m0s, or leave it zero for 30s
}

// What a database administrator executes for a service that sets NoCreate.
func ExampleSchema() {
	text, err := sqlstore.Schema("certs.shop")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output:
	// CREATE TABLE IF NOT EXISTS "certs"."shop" (
	// 	key      text COLLATE "C" PRIMARY KEY,
	// 	value    bytea NOT NULL,
	// 	sealed   text NOT NULL,          -- the ID of the key that sealed the value; '' if it is in clear
	// 	modified timestamptz NOT NULL
	// );
	// CREATE TABLE IF NOT EXISTS "certs"."shop_locks" (
	// 	name     text COLLATE "C" PRIMARY KEY,
	// 	token    text NOT NULL,          -- who knows it holds the lock
	// 	holder   text NOT NULL,          -- for people
	// 	acquired timestamptz NOT NULL,
	// 	expires  timestamptz NOT NULL    -- when others may replace the token
	// );
}
