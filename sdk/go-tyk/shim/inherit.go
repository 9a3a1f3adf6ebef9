package shim

import (
	"net/http"
	"reflect"
	"unsafe"

	"gantry.example/sdk/go/abi"
)

// ours are the fields of a request that each function gets anew: what of them a function changes, the gateway
// tells the next. RequestURI and the protocol never change, unless a function means it.
var ours = map[string]bool{
	"Method": true, "URL": true, "Proto": true, "ProtoMajor": true, "ProtoMinor": true, "Header": true, "Body": true,
	"ContentLength": true, "Host": true, "RemoteAddr": true, "RequestURI": true, "ctx": true,
}

// theirs are the places, byte by byte where they are no words, of all other fields: parsed forms, values of a
// path, what later versions of net/http bring. They are zero in a request that nobody has used.
var theirs = func() (places struct{ words, bytes []uintptr }) {
	request := reflect.TypeOf(http.Request{})
	for n := 0; n < request.NumField(); n++ {
		field := request.Field(n)
		if ours[field.Name] {
			continue
		}
		at, end := field.Offset, field.Offset+field.Type.Size()
		for ; at%wordBytes == 0 && at+wordBytes <= end; at += wordBytes {
			places.words = append(places.words, at)
		}
		for ; at < end; at++ {
			places.bytes = append(places.bytes, at)
		}
	}
	return places
}()

const wordBytes = unsafe.Sizeof(uintptr(0))

// alters says whether the request now has something that the gateway cannot tell later functions of this
// library: they are to find it nevertheless.
func (i *invocation) alters() bool {
	if i.inherits || i.request.RequestURI != i.scratch.snapshot.text(abi.PartTarget) {
		return true
	}
	request := unsafe.Pointer(i.request)
	for _, at := range theirs.words {
		if *(*uintptr)(unsafe.Add(request, at)) != 0 {
			return true
		}
	}
	for _, at := range theirs.bytes {
		if *(*byte)(unsafe.Add(request, at)) != 0 {
			return true
		}
	}
	return false
}
