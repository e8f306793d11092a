package albtest

// AuditRowNames are the names of all rows of an audit.
func AuditRowNames() (names []string) {
	for _, row := range auditRows(newAudit(nil, AuditSpec{}).spec) {
		names = append(names, row.name)
	}
	return names
}
