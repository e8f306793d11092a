package healthcheck

import "fmt"

// errorText is what an error says. A nil pointer in an error is one whose method
// may panic, and comes from a check as easily as nil.
func errorText(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("an error of type %T that cannot say what is wrong", err)
		}
	}()
	return err.Error()
}
