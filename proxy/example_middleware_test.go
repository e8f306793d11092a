package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"testing/fstest"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
)

// withoutTimes keeps the example's output the same every time.
type withoutTimes struct{ io.Writer }

var times = regexp.MustCompile(`\[.*\]|\d+\.\d{6}`)

func (w withoutTimes) Write(p []byte) (int, error) {
	_, err := w.Writer.Write(times.ReplaceAll(p, []byte("[…]")))
	return len(p), err
}

// The line shows the client, not the balancer, because AccessLog is inside
// Wrap. Recover is inside AccessLog, so that its 500 is logged.
func ExampleAccessLog() {
	hops := forwarded.Must(forwarded.Behind(forwarded.ALB("10.0.16.0/20")))
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	handler := hops.Wrap(proxy.AccessLog(withoutTimes{os.Stdout})(proxy.Recover(nil)(app)))

	r := httptest.NewRequest("GET", "/greeting?lang=en", nil)
	r.RemoteAddr = "10.0.16.9:1234"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("User-Agent", "curl/8.5")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// 203.0.113.7 - - […] "GET /greeting?lang=en HTTP/1.1" 200 5 "-" "curl/8.5" https […]
}

// Files first, then the application. In a program the files are those of an
// os.Root, out of which no symbolic link leads:
//
//	root, err := os.OpenRoot("/srv/www")
//	handler := proxy.Static(root.FS())(app)
func ExampleStatic() {
	files := fstest.MapFS{"logo.svg": {Data: []byte("<svg/>")}, ".env": {Data: []byte("SECRET=1")}}
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "application: ", r.URL.Path) })
	handler := proxy.Static(files)(app)

	for _, path := range []string{"/logo.svg", "/.env", "/orders/7"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(w.Body)
	}
	// Output:
	// <svg/>
	// application: /.env
	// application: /orders/7
}

// The application knows nothing of /api, and its clients notice nothing of that.
func ExampleStripPrefix() {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("application sees", r.URL.Path, "below", forwarded.From(r).Prefix)
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	})
	handler := proxy.StripPrefix("/api")(app)

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/api/orders", nil))
	fmt.Println(w.Header().Get("Location"))
	fmt.Println(w.Header().Get("Set-Cookie"))
	// Output:
	// application sees /orders below /api
	// /api/login
	// session=1; Path=/api
}
