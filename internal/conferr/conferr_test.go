package conferr_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/knownhops/knownhops/internal/conferr"
)

func TestError(t *testing.T) {
	for want, e := range map[string]conferr.Error{
		`Hops[0].From[1]: "x": not an address; write it like 10.0.0.1`: {Field: "Hops[0].From[1]", Value: "x", Reason: "not an address", Fix: "write it like 10.0.0.1"},
		`Hops: nobody is named; name one`:                              {Field: "Hops", Reason: "nobody is named", Fix: "name one"},
		`Hops: nobody is named`:                                        {Field: "Hops", Reason: "nobody is named"},
		`Host: "a\nb": not a name`:                                     {Field: "Host", Value: "a\nb", Reason: "not a name"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	var errs conferr.Errors
	if err := errs.Err(); err != nil {
		t.Fatalf("no mistakes are %v, want nil", err)
	}
	errs.Add("A", "1", "wrong", "2")
	errs.Add("B", "", "missing", "")
	err := fmt.Errorf("configuration: %w", errs.Err())
	if want := "configuration: A: \"1\": wrong; 2\nB: missing"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	var all conferr.Errors
	if !errors.As(err, &all) || len(all) != 2 || all[1].Field != "B" {
		t.Errorf("the list cannot be had from the error: %v", all)
	}
	var one conferr.Error
	if !errors.As(err, &one) || one.Field != "A" {
		t.Errorf("a single mistake cannot be had from the error: %v", one)
	}
	if !errors.Is(err, conferr.Error{Field: "B", Reason: "missing"}) {
		t.Error("the second mistake is not found in the error")
	}
}
