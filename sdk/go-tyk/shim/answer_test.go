package shim

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"gantry.example/sdk/go-tyk/call"
	"gantry.example/sdk/go/abi"
)

func TestWhatIsWrittenIsTheAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		handler              http.HandlerFunc
		status, body, header string
		value                string
	}{
		"implicit 200": {func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "<html>") },
			"200", "<html>", "content-type", "text/html; charset=utf-8"},
		"status alone": {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(403) }, "403", "", "content-type", ""},
		"http.Error":   {func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", 401) }, "401", "no\n", "x-content-type-options", "nosniff"},
		"redirect": {func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/login?x=1", 302) },
			"302", "", "location", "/login?x=1"},
		"cookies": {func(rw http.ResponseWriter, _ *http.Request) {
			http.SetCookie(rw, &http.Cookie{Name: "a", Value: "1"})
			http.SetCookie(rw, &http.Cookie{Name: "b", Value: "2"})
			rw.WriteHeader(204)
			_, err := rw.Write([]byte("x"))
			if !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		}, "204", "", "set-cookie", "a=1, b=2"},
		"second status": {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(201); rw.WriteHeader(500) }, "201", "", "a", ""},
		"informational": {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(103); rw.WriteHeader(202) }, "202", "", "a", ""},
		"late header": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("X-Early", "1")
			rw.WriteHeader(200)
			rw.Header().Set("X-Late", "1")
		}, "200", "", "x-late", ""},
		"framing": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "1")
			rw.Header().Set("X-A", "b\r\nc: d")
			_, _ = io.Copy(rw, strings.NewReader("abc"))
			rw.(http.Flusher).Flush()
		}, "200", "abc", "x-a", "b  c: d"},
	} {
		t.Run(name, func(t *testing.T) {
			modes(t, test.handler, func(t *testing.T, run func(*request) int32) {
				made := newRequest(t)
				if run(made) != abi.Respond || made.part(abi.PartStatus) != test.status || made.answered(test.header) != test.value {
					t.Error(made.message, made.lines())
				}
				if name != "redirect" && made.message.Answer != test.body || made.answered("content-length") != "" {
					t.Errorf("%q", made.message.Answer)
				}
			})
		})
	}
}

func TestLengthThatAHandlerSetsIsToldToHeadAlone(t *testing.T) {
	serve := func(rw http.ResponseWriter, r *http.Request) {
		http.ServeContent(rw, r, "a.txt", time.Time{}, strings.NewReader(strings.Repeat("x", 31)))
	}
	for name, test := range map[string]struct {
		method, length string
		handler        http.HandlerFunc
	}{
		"of content": {"HEAD", "31", serve},
		"to GET":     {"GET", "", serve},
		"set": {"HEAD", "7", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "7")
			rw.WriteHeader(200)
		}},
		"no number": {"HEAD", "", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "-7")
			rw.WriteHeader(200)
		}},
		"too late": {"HEAD", "", func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(200)
			rw.Header().Set("Content-Length", "7")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			modes(t, test.handler, func(t *testing.T, run func(*request) int32) {
				made := newRequest(t)
				made.message.Parts[abi.PartMethod] = test.method
				if run(made) != abi.Respond || made.answered("content-length") != test.length {
					t.Error(made.message, made.lines())
				}
			})
		})
	}
}

func TestHeadersAloneAreSetEarlyAndTheRequestGoesOn(t *testing.T) {
	modes(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("X-Mine", "1")
		rw.Header().Add("X-Before", "2")
		rw.Header().Del("X-Gone")
		rw.(http.Flusher).Flush()
	}, func(t *testing.T, run func(*request) int32) {
		made := newRequest(t).upstream("200", "", "x-before: 1", "x-gone: 1")
		if run(made) != abi.Continue || made.answered("x-mine") != "1" || made.answered("x-before") != "1, 2" || made.answered("x-gone") != "" {
			t.Error(made.message)
		}
	})
}

func TestReverseProxyIntoTheWriterAnswers(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		rw.Header().Set("X-Upstream", r.URL.Path)
		rw.WriteHeader(203)
		fmt.Fprintf(rw, "got %s", text)
	}))
	defer upstream.Close()
	address, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	modes(t, httputil.NewSingleHostReverseProxy(address).ServeHTTP, func(t *testing.T, run func(*request) int32) {
		made := newRequest(t).body("abc")
		if run(made) != abi.Respond || made.part(abi.PartStatus) != "203" || made.message.Answer != "got abc" || made.answered("x-upstream") != "/orders/1" {
			t.Error(made.message, made.lines())
		}
	})
}

func TestAnswerBeyondItsLimitFailsAndSaysSo(t *testing.T) {
	modes(t, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write(make([]byte, answerMax))
		if _, err := rw.Write([]byte("x")); err == nil {
			t.Error("no error")
		}
	}, func(t *testing.T, run func(*request) int32) {
		if made := newRequest(t); run(made) != abi.Failed || !strings.Contains(made.lines(), "larger than 1048576 bytes") {
			t.Error(made.lines())
		}
	})
	modes(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(make([]byte, answerMax)) },
		func(t *testing.T, run func(*request) int32) {
			if made := newRequest(t); run(made) != abi.Respond || len(made.message.Answer) != answerMax {
				t.Error(made.lines())
			}
		})
}

func TestHandlerThatIsLeftByAPanicFails(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		verdict int32
		line    string
	}{
		"panic":           {func(http.ResponseWriter, *http.Request) { panic("no such luck") }, abi.Panicked, "no such luck at "},
		"ErrAbortHandler": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, abi.Panicked, "abort Handler"},
		"status":          {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(0) }, abi.Panicked, "invalid WriteHeader code 0"},
		"fatal line": {func(_ http.ResponseWriter, r *http.Request) {
			call.Of(r.Context()).Fail("a fatal line")
			panic(call.ErrFailed)
		}, abi.Failed, "a fatal line"},
	} {
		t.Run(name, func(t *testing.T) {
			handler := func(rw http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(rw, "lost")
				r.Header.Set("X-Lost", "1")
				test.handler(rw, r)
			}
			modes(t, handler, func(t *testing.T, run func(*request) int32) {
				made := newRequest(t)
				if run(made) != test.verdict || !strings.Contains(made.lines(), test.line) || made.header("x-lost") != "" || made.message.Answer != "" {
					t.Error(made.message, made.lines())
				}
			})
		})
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("the reader panics") }

func TestReaderThatPanicsAfterTheHandlerFailsTheCall(t *testing.T) {
	modes(t, func(_ http.ResponseWriter, r *http.Request) { r.Body = io.NopCloser(panicking{}) },
		func(t *testing.T, run func(*request) int32) {
			made := newRequest(t).body("abc")
			if run(made) != abi.Panicked || !strings.Contains(made.lines(), "the reader panics at ") || made.part(abi.PartRequestBody) != "abc" {
				t.Error(made.lines())
			}
		})
}

func TestGoexitFailsADetachedCall(t *testing.T) {
	made := newRequest(t)
	verdict := made.run(Function{Name: "F", Request: func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(200)
		runtime.Goexit()
	}}, abi.HookPre)
	if verdict >= 0 || !strings.Contains(made.lines(), "Goexit") {
		t.Error(verdict, made.lines())
	}
}

func TestPanicWithNilFailsTheCall(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // as modules of before Go 1.21 have it
	for name, inline := range map[string]bool{"detached": false, "inline": true} {
		made := newRequest(t)
		verdict := made.run(Function{Name: "F", Inline: inline, Request: func(http.ResponseWriter, *http.Request) {
			panic(nil)
		}}, abi.HookPre)
		if verdict >= 0 || !strings.Contains(made.lines(), "nil") {
			t.Errorf("%s: %d, %q", name, verdict, made.lines())
		}
	}
}

// after runs a response function detached and inline.
func after(t *testing.T, handler func(http.ResponseWriter, *http.Response, *http.Request), made func() *request, check func(*testing.T, *request, int32)) {
	t.Helper()
	for name, function := range map[string]Function{
		"detached": {Name: "F", Response: handler},
		"inline":   {Name: "F", Response: handler, Inline: true, Body: true},
	} {
		t.Run(name, func(t *testing.T) {
			request := made()
			request.t = t
			check(t, request, request.run(function, abi.HookResponse))
		})
	}
}

func TestResponseIsReadAndChanged(t *testing.T) {
	after(t, func(rw http.ResponseWriter, res *http.Response, r *http.Request) {
		text, _ := io.ReadAll(res.Body)
		if res.Request.URL.Path != r.URL.Path || res.Status != "200 OK" || res.Header.Get("Server") != "up" {
			panic(res.Status)
		}
		res.StatusCode = 203
		res.Header.Set("X-Length", fmt.Sprint(res.ContentLength))
		res.Header.Del("Server")
		res.Body = io.NopCloser(strings.NewReader(string(text) + string(text)))
		rw.Header().Set("X-Writer", "1")
		http.SetCookie(rw, &http.Cookie{Name: "b", Value: "2"})
	}, func() *request {
		return newRequest(t).upstream("200", "ab", "server: up", "content-length: 2", "etag: 1", "set-cookie: a=1")
	}, func(t *testing.T, made *request, verdict int32) {
		if verdict != abi.Continue || made.part(abi.PartStatus) != "203" || made.part(abi.PartResponseBody) != "abab" ||
			made.answered("server") != "" || made.answered("etag") != "" || made.answered("x-length") != "2" ||
			made.added("x-writer") != "1" || made.answered("set-cookie") != "a=1" || made.added("set-cookie") != "b=2" {
			t.Error(made.message, made.lines())
		}
	})
}

func TestWritersHeadersAreApartFromTheUpstreams(t *testing.T) {
	early := func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("X-Request-Id", "7")
		rw.Header().Add("Vary", "Accept")
		rw.Header().Set("Content-Type", "text/early")
	}
	filter := func(rw http.ResponseWriter, res *http.Response, _ *http.Request) {
		kept := res.Header.Get("Content-Type")
		res.Header = http.Header{"X-Kept": {kept}}
		rw.Header().Add("Vary", "Origin")
		rw.Header().Del("Content-Type")
	}
	later := func(rw http.ResponseWriter, res *http.Response, _ *http.Request) {
		rw.Header().Set("X-Seen", strings.Join(rw.Header()["Vary"], "+")+fmt.Sprint(len(res.Header)))
	}
	for _, inline := range []bool{false, true} {
		made := newRequest(t)
		made.run(Function{Name: "Early", Request: early, Inline: inline}, abi.HookPre)
		made.upstream("200", "", "content-type: text/up", "vary: Cookie", "server: up")
		made.run(Function{Name: "Filter", Response: filter, Inline: inline}, abi.HookResponse)
		made.run(Function{Name: "Later", Response: later, Inline: inline}, abi.HookResponse)
		if len(made.message.Response) != 1 || made.answered("x-kept") != "text/up" {
			t.Error("upstream's:", made.message.Response)
		}
		if made.added("x-request-id") != "7" || made.added("vary") != "Accept, Origin" || made.added("content-type") != "" ||
			made.added("x-seen") != "Accept+Origin1" {
			t.Error("added:", made.message.Added)
		}
	}
}

func TestReadingTheResponseTakesNothingFromTheClient(t *testing.T) {
	after(t, func(_ http.ResponseWriter, res *http.Response, _ *http.Request) {
		_, _ = io.ReadFull(res.Body, make([]byte, 2))
	}, func() *request { return newRequest(t).upstream("200", "abc", "etag: 1") }, func(t *testing.T, made *request, verdict int32) {
		if verdict != abi.Continue || made.part(abi.PartResponseBody) != "abc" || made.answered("etag") != "1" {
			t.Error(made.message)
		}
	})
}

func TestWritingInAResponseHookTakesTheUpstreamsPlace(t *testing.T) {
	after(t, func(rw http.ResponseWriter, res *http.Response, _ *http.Request) {
		res.Header.Set("X-Kept", "1")
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(451)
		_, _ = io.WriteString(rw, "{}")
	}, func() *request { return newRequest(t).upstream("200", "secret", "server: up") }, func(t *testing.T, made *request, verdict int32) {
		if verdict != abi.Respond || made.part(abi.PartStatus) != "451" || made.message.Answer != "{}" ||
			made.added("content-type") != "application/json" || made.answered("x-kept") != "1" || made.asked != 0 {
			t.Error(made.message, made.lines())
		}
	})
}

func TestEncodingStaysWithABodyThatIsEncodedSo(t *testing.T) {
	packed := func(text string) string {
		var buffer bytes.Buffer
		writer := gzip.NewWriter(&buffer)
		_, _ = io.WriteString(writer, text)
		_ = writer.Close()
		return buffer.String()
	}
	for want, text := range map[string]string{"gzip": packed("new"), "": "plain"} {
		after(t, func(_ http.ResponseWriter, res *http.Response, _ *http.Request) {
			res.Body = io.NopCloser(strings.NewReader(text))
		}, func() *request { return newRequest(t).upstream("200", packed("old"), "content-encoding: gzip") },
			func(t *testing.T, made *request, _ int32) {
				if made.part(abi.PartResponseBody) != text || made.answered("content-encoding") != want {
					t.Error(made.message)
				}
			})
	}
}

func TestResponseWithoutABodyHasNone(t *testing.T) {
	after(t, func(_ http.ResponseWriter, res *http.Response, _ *http.Request) {
		if text, err := io.ReadAll(res.Body); err != nil || len(text) != 0 {
			panic(text)
		}
	}, func() *request { return newRequest(t).upstream("304", "") }, func(t *testing.T, made *request, verdict int32) {
		if verdict != abi.Continue || made.asked != 0 {
			t.Error(made.lines())
		}
	})
}

func TestFailingResponseHookLeavesNothing(t *testing.T) {
	after(t, func(_ http.ResponseWriter, res *http.Response, _ *http.Request) {
		res.Body = io.NopCloser(io.MultiReader(strings.NewReader("part"), failing{}))
	}, func() *request { return newRequest(t).upstream("200", "secret") }, func(t *testing.T, made *request, verdict int32) {
		if verdict != abi.Failed || !strings.Contains(made.lines(), "no such luck") {
			t.Error(verdict, made.lines())
		}
	})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errTest }

func TestHandlerThatReadsABodyWhichIsOnlyDescribedAsksForIt(t *testing.T) {
	for _, look := range []bool{true, false} {
		made := newRequest(t).upstream("200", "", "content-length: 31")
		made.message.Parts[abi.PartMethod] = "HEAD"
		made.run(Function{Name: "F", Response: func(_ http.ResponseWriter, res *http.Response, _ *http.Request) {
			if res.ContentLength != 31 {
				t.Error(res.ContentLength)
			}
			if look {
				if read, err := io.ReadAll(res.Body); err != nil || len(read) != 0 {
					t.Error(read, err)
				}
			}
		}}, abi.HookResponse)
		if asked := made.asked == 1; asked != look {
			t.Errorf("looks %v, asked %v", look, asked)
		}
	}
}

func TestProxiedBodyThatBreaksOffFailsTheCall(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", "100")
		_, _ = rw.Write([]byte("part"))
	}))
	defer upstream.Close()
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	made := newRequest(t)
	verdict := made.run(Function{Name: "F", Request: httputil.NewSingleHostReverseProxy(target).ServeHTTP}, abi.HookPre)
	if verdict != abi.Panicked {
		t.Error(verdict, made.message, made.lines())
	}
}
