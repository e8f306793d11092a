package albtest

import (
	"fmt"
	"slices"
)

// auditRow is one question to the service.
type auditRow struct {
	name string // stable: AuditSpec.Allow has it
	over []door // each is tried, until an answer is wrong
	send ask

	judge  func(*audit, *reply) string // what is wrong with the answer; empty: nothing
	client bool                        // needs AuditSpec.Client
	skip   func(*audit) string         // why it cannot be judged; empty: it can. Nil: it always can

	why    string // what it matters
	change string // what to change in the service
}

// auditRows is the whole battery.
func auditRows(spec AuditSpec) []auditRow {
	return slices.Concat(
		answerRows(spec), clientRows(), modeRows(), schemeRows(), nominationRows(spec), hostRows(spec),
		redirectRows(), probeRows(spec), directRows(), tunnelRows(spec),
	)
}

// doors are ways to a service behind a balancer with AWS's defaults.
func doors(ways ...auditWay) (list []door) {
	for _, w := range ways {
		list = append(list, door{way: w})
	}
	return list
}

// skipped says why the row cannot be judged; empty: it can.
func (row auditRow) skipped(a *audit) string {
	if row.client && a.spec.Client == nil {
		return "AuditSpec.Client is nil"
	}
	if row.skip != nil {
		return row.skip(a)
	}
	return ""
}

// ask puts the question, and returns the error; empty: the row passes.
func (row auditRow) ask(a *audit) string {
	for _, d := range row.over {
		got := a.send(d, row.send)
		wrong := a.sound(got)
		if wrong == "" {
			wrong = row.judge(a, got)
		}
		if wrong != "" {
			return fmt.Sprintf("row %q: %s\n\t%s\n\twhy it matters: %s\n\twhat to change: %s", row.name, wrong, got, row.why, row.change)
		}
	}
	return ""
}
