package check

import "testing"

func TestShape(t *testing.T) {
	d := NewDims("GRU")
	for _, c := range []struct {
		arg     string
		shape   []int
		pattern string
		want    string
	}{
		{"weight_hh", []int{12, 4}, "3D D", ""},
		{"weight_ih", []int{12, 5}, "3D M", ""},
		{"bias", []int{5}, "3D", "GRU: bias has shape (5,), want (3D,) = (12,); D is fixed by weight_hh has shape (12, 4)"},
		{"bias", []int{12, 1}, "3D", "GRU: bias has shape (12, 1), want (3D,) = (12,)"},
		{"other", []int{7}, "2K", "GRU: other has shape (7,), want (2K,); 7 is not a multiple of 2"},
		{"scalar", nil, "K", "GRU: scalar has shape (), want (K,)"},
	} {
		err := d.Shape(c.arg, c.shape, c.pattern)
		if got := text(err); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	if d.Len("D") != 4 || d.Len("M") != 5 {
		t.Errorf("D = %d, M = %d", d.Len("D"), d.Len("M"))
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestTexts(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{ShapeText([]int{1, 2}), "(1, 2)"},
		{ShapeText([]int{3}), "(3,)"},
		{Bytes(1536), "1.5 KiB"},
		{Bytes(3 << 40), "3 TiB"},
		{text(Choice("solve", "method", "newtn", []string{"newton", "picard"})), `solve: method is "newtn", want one of newton, picard`},
		{text(Of(Memory, "solve", "too much")), "solve: too much"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}
