package shim

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"gantry.example/sdk/go/abi"
)

// modes runs a test of a request function detached, and inline with its body declared.
func modes(t *testing.T, handler http.HandlerFunc, check func(t *testing.T, run func(*request) int32)) {
	t.Helper()
	for name, function := range map[string]Function{
		"detached": {Name: "F", Request: handler},
		"inline":   {Name: "F", Request: handler, Inline: true, Body: true},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, func(r *request) int32 { r.t = t; return r.run(function, abi.HookPre) })
		})
	}
}

func TestRequestIsWhatAGoServerGives(t *testing.T) {
	var got *http.Request
	var form url.Values
	modes(t, func(_ http.ResponseWriter, r *http.Request) {
		got = r
		if r.ParseForm() == nil {
			form = r.Form
		}
	}, func(t *testing.T, run func(*request) int32) {
		made := newRequest(t, "Host: gateway.test:8080", "x-tag: 1", "X-Tag: 2", "content-length: 3",
			"content-type: application/x-www-form-urlencoded").body("b=2")
		if run(made) != abi.Continue {
			t.Fatal(made.lines())
		}
		if got.Method != "POST" || got.RequestURI != "/orders/1?a=1" || got.URL.Path != "/orders/1" || got.URL.RawQuery != "a=1" ||
			got.Host != "gateway.test:8080" || got.RemoteAddr != "192.0.2.1:4711" || got.ContentLength != 3 || got.Proto != "HTTP/1.1" {
			t.Errorf("%+v", got)
		}
		if values := got.Header["X-Tag"]; len(values) != 2 || values[1] != "2" || got.Header["Host"] != nil {
			t.Error(got.Header)
		}
		if form.Get("a") != "1" || form.Get("b") != "2" {
			t.Error(form)
		}
		if made.part(abi.PartRequestBody) != "b=2" || made.header("x-tag") != "1, 2" {
			t.Error("it changed:", made.message)
		}
	})
}

func TestMultipartBodyIsParsed(t *testing.T) {
	var value string
	modes(t, func(_ http.ResponseWriter, r *http.Request) { value = r.FormValue("c") }, func(t *testing.T, run func(*request) int32) {
		text := "--b\r\nContent-Disposition: form-data; name=\"c\"\r\n\r\nseven\r\n--b--\r\n"
		run(newRequest(t, "Content-Type: multipart/form-data; boundary=b").body(text))
		if value != "seven" {
			t.Error(value)
		}
	})
}

func TestEscapedPathIsKeptAsItIs(t *testing.T) {
	modes(t, func(_ http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Path", r.URL.Path)
	}, func(t *testing.T, run func(*request) int32) {
		made := newRequest(t)
		made.message.Parts[abi.PartPath] = "/a%20b/c%C3%A9"
		run(made)
		if made.header("x-path") != "/a b/cé" || made.part(abi.PartPath) != "/a%20b/c%C3%A9" {
			t.Error(made.message)
		}
	})
}

func TestChangesOfTheRequestAreTold(t *testing.T) {
	modes(t, func(_ http.ResponseWriter, r *http.Request) {
		r.Header["X-In-Place"][0] = "changed"
		r.Header.Add("X-Many", "c")
		r.Header.Del("X-Gone")
		r.Header["x-odd-case"] = []string{"1"}
		r.Header.Set("X-Lines", "a\r\nb ")
		r.Header.Set("Content-Length", "99")
		r.Header["not a name"] = []string{"1"}
		r.Method = "PUT"
		r.URL.Path = "/new path"
		r.URL.RawQuery = "q=a b"
		r.Host = "other.test"
	}, func(t *testing.T, run func(*request) int32) {
		made := newRequest(t, "x-in-place: was", "x-many: a", "x-many: b", "x-gone: 1", "x-stays: 1", "content-length: 0")
		if run(made) != abi.Continue {
			t.Fatal(made.lines())
		}
		for name, want := range map[string]string{
			"x-in-place": "changed", "x-many": "a, b, c", "x-gone": "", "x-stays": "1", "x-odd-case": "1", "x-lines": "a  b",
			"content-length": "0", "not a name": "",
		} {
			if made.header(name) != want {
				t.Errorf("%s: %q", name, made.header(name))
			}
		}
		if made.part(abi.PartMethod) != "PUT" || made.part(abi.PartPath) != "/new%20path" || made.part(abi.PartQuery) != "q=a%20b" {
			t.Error(made.message.Parts)
		}
		if !strings.Contains(made.lines(), "r.Host belongs to the gateway") {
			t.Error("it is not said that the host stays:", made.lines())
		}
	})
}

func TestBodyThatIsReplacedIsTold(t *testing.T) {
	modes(t, func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(bytes.ToUpper(text)))
	}, func(t *testing.T, run func(*request) int32) {
		made := newRequest(t, "content-encoding: br", "content-type: text/plain").body("abc")
		if run(made) != abi.Continue || made.part(abi.PartRequestBody) != "ABC" || made.header("content-encoding") != "" ||
			made.header("content-type") != "text/plain" {
			t.Error(made.message, made.lines())
		}
		large := newRequest(t).body(strings.Repeat("a", 3<<20))
		if run(large) != abi.Continue || large.part(abi.PartRequestBody) != strings.Repeat("A", 3<<20) {
			t.Error(len(large.part(abi.PartRequestBody)), large.lines())
		}
	})
}

func TestReadingTakesNothingFromTheUpstream(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"in part": func(_ http.ResponseWriter, r *http.Request) { _, _ = r.Body.Read(make([]byte, 2)) },
		"whole":   func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); _ = r.Body.Close() },
		"put back": func(_ http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(text))
		},
		"bounded": func(rw http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(rw, r.Body, 100)
			_, _ = io.ReadAll(r.Body)
		},
		"through a reader": func(_ http.ResponseWriter, r *http.Request) {
			r.Body = io.NopCloser(io.TeeReader(r.Body, io.Discard))
			_, _ = io.ReadAll(r.Body)
		},
	} {
		t.Run(name, func(t *testing.T) {
			modes(t, handler, func(t *testing.T, run func(*request) int32) {
				made := newRequest(t, "etag: 1").body("abcdef")
				if run(made) != abi.Continue || made.part(abi.PartRequestBody) != "abcdef" || made.header("etag") != "1" {
					t.Error(made.message, made.lines())
				}
			})
		})
	}
}

func TestBodyIsReadAgain(t *testing.T) {
	modes(t, func(_ http.ResponseWriter, r *http.Request) {
		first, _ := io.ReadAll(r.Body)
		second, _ := io.ReadAll(r.Body)
		r.Header.Set("X-Read", string(first)+string(second))
	}, func(t *testing.T, run func(*request) int32) {
		if made := newRequest(t).body("ab"); run(made) != abi.Continue || made.header("x-read") != "abab" || made.asked > 1 {
			t.Error(made.message)
		}
	})
}

func TestHandlerThatDoesNotReadTheBodyDoesNotAskForIt(t *testing.T) {
	made := newRequest(t, "content-length: 1073741824")
	made.run(Function{Name: "F", Request: func(_ http.ResponseWriter, r *http.Request) { r.Header.Set("X-A", "1") }}, abi.HookPre)
	if made.asked != 0 || made.header("x-a") != "1" {
		t.Error(made.asked, made.message)
	}
}

func TestUndeclaredBodyOfAnInlineFunctionIsAnErrorThatNamesTheDirective(t *testing.T) {
	var failure error
	made := newRequest(t).body("abc")
	verdict := made.run(Function{Name: "F", Inline: true, Request: func(_ http.ResponseWriter, r *http.Request) {
		_, failure = io.ReadAll(r.Body)
	}}, abi.HookPre)
	if failure == nil || !strings.Contains(failure.Error(), "//gantry:inline body") || verdict != abi.Continue {
		t.Error(failure, verdict)
	}
	verdict = made.run(Function{Name: "F", Inline: true, Request: func(_ http.ResponseWriter, r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader("x"))
	}}, abi.HookPre)
	if verdict != abi.Failed || !strings.Contains(made.lines(), "replaces it says //gantry:inline body") || made.part(abi.PartRequestBody) != "abc" {
		t.Error(verdict, made.lines())
	}
}

func TestClientThatLeavesEndsTheContextAndTheBody(t *testing.T) {
	made := newRequest(t).body("abc")
	made.cancels = true
	var failure, reason error
	verdict := made.run(Function{Name: "F", Request: func(rw http.ResponseWriter, r *http.Request) {
		_, failure = io.ReadAll(r.Body)
		<-r.Context().Done()
		reason = r.Context().Err()
		rw.WriteHeader(499)
	}}, abi.HookPre)
	if failure == nil || reason != context.Canceled || verdict != abi.Respond {
		t.Error(failure, reason, verdict)
	}
}

type contextKey struct{}

func TestContextValuesReachLaterFunctionsAndTheirCancellationDoesNot(t *testing.T) {
	set := Function{Name: "Set", Request: func(_ http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), contextKey{}, "ada"))
		*r = *r.WithContext(ctx)
		cancel()
	}}
	get := Function{Name: "Get", Request: func(_ http.ResponseWriter, r *http.Request) {
		name, _ := r.Context().Value(contextKey{}).(string)
		if r.Context().Err() == nil {
			r.Header.Set("X-Name", name)
		}
		*r = *r.WithContext(context.WithValue(r.Context(), "more", "1"))
	}}
	after := Function{Name: "After", Response: func(rw http.ResponseWriter, res *http.Response, r *http.Request) {
		name, _ := res.Request.Context().Value(contextKey{}).(string)
		more, _ := r.Context().Value("more").(string)
		res.Header.Set("X-Name", name+more)
	}}
	for _, inline := range []bool{false, true} {
		set.Inline, get.Inline, after.Inline = inline, !inline, inline
		made := newRequest(t)
		made.run(set, abi.HookPre)
		made.run(get, abi.HookPost)
		made.run(after, abi.HookResponse)
		if made.header("x-name") != "ada" || made.answered("x-name") != "ada1" || made.carry == 0 {
			t.Error(made.message, made.lines())
		}
		if requests.get(made.carry) == nil {
			t.Error("nothing is carried")
		}
		release(made.carry)
		if requests.get(made.carry) != nil {
			t.Error("it was not released")
		}
	}
}

func TestWhatTheGatewayDoesNotKnowOfARequestReachesLaterFunctions(t *testing.T) {
	first := func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		r.Form.Set("parsed", "yes")
		r.RemoteAddr = "198.51.100.9"
		r.URL.Path = "/rewritten"
	}
	bare := func(_ http.ResponseWriter, r *http.Request) {
		other := *r
		other.Trailer = http.Header{"X-T": {"1"}}
		other.URL = &url.URL{Path: "/again"}
		*r = other
	}
	var got []string
	see := func(r *http.Request) {
		got = append(got, strings.Join([]string{r.Form.Get("parsed"), r.RemoteAddr, r.URL.Path, r.RequestURI, r.Trailer.Get("X-T")}, " "))
	}
	last := func(_ http.ResponseWriter, r *http.Request) { see(r) }
	after := func(_ http.ResponseWriter, _ *http.Response, r *http.Request) {
		see(r)
		r.Header.Set("X-Only-Here", "1")
		r.URL.Path = "/seen"
	}
	end := func(rw http.ResponseWriter, _ *http.Response, r *http.Request) {
		see(r)
		rw.Header().Set("X-Only", r.Header.Get("X-Only-Here"))
	}
	for _, inline := range []bool{false, true} {
		got = nil
		made := newRequest(t)
		for n, handler := range []func(http.ResponseWriter, *http.Request){first, bare, last} {
			function := Function{Name: "F" + strconv.Itoa(n), Request: handler, Inline: inline}
			if made.run(function, abi.HookPost) != abi.Continue {
				t.Fatal(made.lines())
			}
		}
		made.upstream("200", "")
		made.message.Parts[abi.PartPath] = "/stripped"
		made.run(Function{Name: "After", Response: after, Inline: inline}, abi.HookResponse)
		made.run(Function{Name: "End", Response: end, Inline: inline}, abi.HookResponse)
		want := []string{
			"yes 198.51.100.9 /again /orders/1?a=1 1", "yes 198.51.100.9 /stripped /orders/1?a=1 1",
			"yes 198.51.100.9 /seen /orders/1?a=1 1",
		}
		if !reflect.DeepEqual(got, want) || made.added("x-only") != "1" || made.part(abi.PartRemoteAddr) != "198.51.100.9" {
			t.Errorf("inline %v: %q %v", inline, got, made.message)
		}
	}
}

func TestContextLastsUntilTheRequestHasEnded(t *testing.T) {
	made := newRequest(t)
	var kept context.Context
	made.run(Function{Name: "F", Request: func(_ http.ResponseWriter, r *http.Request) { kept = r.Context() }}, abi.HookPre)
	if kept.Err() != nil {
		t.Error("what the handler started is cancelled with it:", kept.Err())
	}
	release(made.carry)
	if kept.Err() != context.Canceled {
		t.Error("it goes on when the request has ended")
	}
}

func TestInlineFunctionWithNothingToCarryCarriesNothing(t *testing.T) {
	made := newRequest(t)
	made.run(Function{Name: "F", Inline: true, Request: func(http.ResponseWriter, *http.Request) {}}, abi.HookPre)
	if made.carry != 0 {
		t.Error(made.carry)
	}
}
