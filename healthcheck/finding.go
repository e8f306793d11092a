package healthcheck

// A Finding is something in a server that does not go together with what is in
// front of it. Codes are stable.
type Finding struct {
	Code    string `json:"code"`
	Field   string `json:"field"`   // what to change: "Server.IdleTimeout", "Profile.KillBudget"
	Message string `json:"message"` // what happens as it is
	Fix     string `json:"fix"`
}
