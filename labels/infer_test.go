package labels_test

import (
	"fmt"
	"strings"
	"testing"

	"galaxy/labels"
)

// columns are those of names; a name may end in " counts", " fractions" or " texts", which is
// what they hold.
func columns(names string) (out []labels.Column) {
	for _, name := range strings.Split(names, ",") {
		name, kind, _ := strings.Cut(name, " ")
		out = append(out, labels.Column{Name: name, Whole: kind == "" || kind == "counts", Unit: kind == "" || kind == "fractions"})
	}
	return out
}

func TestInfer(t *testing.T) {
	gz2, _ := labels.Named("gz2")
	for _, c := range []struct{ name, in, want string }{
		{
			"QUESTION_ANSWER with totals, fractions and statistics",
			"id_str texts,smooth-or-featured_smooth counts,smooth-or-featured_featured-or-disk counts,smooth-or-featured_total-votes counts," +
				"smooth-or-featured_smooth_fraction fractions,smooth-or-featured_featured-or-disk_fraction fractions,smooth-or-featured_smooth_min fractions," +
				"smooth-or-featured_smooth_max fractions,smooth-or-featured_prediction-encoded counts,total_classifications counts,total_votes counts,file_loc texts",
			`QUESTION_ANSWER counts: smooth or featured (smooth-or-featured_total-votes) [smooth-or-featured_smooth=smooth smooth-or-featured_featured-or-disk=featured or disk];` +
				` left id_str smooth-or-featured_smooth_fraction smooth-or-featured_featured-or-disk_fraction smooth-or-featured_smooth_min smooth-or-featured_smooth_max smooth-or-featured_prediction-encoded total_classifications total_votes file_loc`,
		},
		{
			"fractions alone are of those who were asked",
			"smooth_smooth_fraction fractions,smooth_featured_fraction fractions,how-rounded_round_fraction fractions,how-rounded_cigar_fraction fractions",
			"QUESTION_ANSWER_fraction fractions: smooth [smooth_smooth_fraction=smooth smooth_featured_fraction=featured];" +
				" how rounded of asked after smooth_smooth_fraction [how-rounded_round_fraction=round how-rounded_cigar_fraction=cigar]",
		},
		{
			"tNN_aNN: counts and not the rest, with the questions' order",
			"objid counts,t01_smooth_or_features_a01_smooth_count counts,t01_smooth_or_features_a01_smooth_weight counts,t01_smooth_or_features_a01_smooth_fraction fractions,t01_smooth_or_features_a02_features_or_disk_count counts," +
				"t02_edgeon_a04_yes_count counts,t02_edgeon_a05_no_count counts,t04_spiral_a08_spiral_count counts,t04_spiral_a09_no_spiral_count counts,t10_arms_winding_a28_tight_count counts,t10_arms_winding_a29_loose_count counts",
			"tNN_QUESTION_aNN_ANSWER_count counts: smooth or features [t01_smooth_or_features_a01_smooth_count=smooth t01_smooth_or_features_a02_features_or_disk_count=features or disk];" +
				" edgeon after t01_smooth_or_features_a02_features_or_disk_count [t02_edgeon_a04_yes_count=yes t02_edgeon_a05_no_count=no];" +
				" spiral after t02_edgeon_a05_no_count [t04_spiral_a08_spiral_count=spiral t04_spiral_a09_no_spiral_count=no spiral];" +
				" arms winding after t04_spiral_a08_spiral_count [t10_arms_winding_a28_tight_count=tight t10_arms_winding_a29_loose_count=loose];" +
				" left objid t01_smooth_or_features_a01_smooth_weight t01_smooth_or_features_a01_smooth_fraction",
		},
		{"ClassN.M, not all of them", "Class1.1 fractions,Class1.2 fractions,Class2.1 fractions", "ClassN.M fractions: Class1 [Class1.1=1 Class1.2=2]; left Class2.1"},
		{"ClassN.M with counts", "Class1.1 counts,Class1.2 counts", "ClassN.M counts: Class1 [Class1.1=1 Class1.2=2]"},
		{"names with fractions in them", "bar_yes fractions,bar_no fractions", "QUESTION_ANSWER fractions: bar [bar_yes=yes bar_no=no]"},
		{"the challenge", strings.Join(zoo.Columns(), ",") + ",x", "challenge; left x"},
		{"the challenge's names, but counts", strings.Join(zoo.Columns()[:3], " counts,") + " counts", "ClassN.M counts: Class1 [Class1.1=1 Class1.2=2 Class1.3=3]"},
		{"a campaign", "id_str texts," + strings.Join(gz2.Schema.Columns(), ","), "gz2; left id_str"},
		{"Galaxy Zoo 1", "OBJID texts,NVOTE counts,P_EL,P_CW,P_ACW,P_EDGE,P_DK,P_MG,P_CS,P_EL_DEBIASED",
			"the columns of Galaxy Zoo 1 fractions: What is it? (NVOTE) [P_EL=elliptical P_CW=clockwise spiral P_ACW=anticlockwise spiral P_EDGE=edge-on spiral P_DK=star or don't know P_MG=merger]; left OBJID P_CS P_EL_DEBIASED"},
		{"Galaxy Zoo 1 in SDSS", "objid counts,nvote counts,elliptical,spiralclock,spiralanticlock,edgeon,dontknow,merger",
			"the columns of Galaxy Zoo 1 fractions: What is it? (nvote) [elliptical=elliptical spiralclock=clockwise spiral spiralanticlock=anticlockwise spiral edgeon=edge-on spiral dontknow=star or don't know merger=merger]; left objid"},
		{"Galaxy Zoo 1 cut off", "objid counts,nvote counts,elliptical,spiralclock", "no column of votes among 4"},
		{"texts", "bar_yes texts,bar_no texts,ring counts", "no column of votes among 3"},
	} {
		got := ""
		if out, err := labels.Infer(columns(c.in)); err != nil {
			got = err.Error()
		} else if got = out.BuiltIn; got == "" {
			got = fmt.Sprintf("%s %v:", out.Pattern, out.Schema.Values())
			for _, q := range out.Schema.Questions() {
				got += " " + q.Text
				if q.OfAsked && out.Schema.Values() == labels.Fractions {
					got += " of asked"
				}
				if len(q.After) > 0 {
					got += " after " + strings.Join(q.After, " ")
				}
				if q.Total != "" {
					got += " (" + q.Total + ")"
				}
				var answers []string
				for _, a := range q.Answers {
					answers = append(answers, a.Name+"="+a.Text)
				}
				got += " [" + strings.Join(answers, " ") + "];"
			}
			got = strings.TrimSuffix(got, ";")
			if len(out.Left) > 0 {
				got += "; left " + strings.Join(out.Left, " ")
			}
		} else if len(out.Left) > 0 {
			got += "; left " + strings.Join(out.Left, " ")
		}
		if !strings.HasPrefix(got, c.want) || c.want != got && !strings.HasPrefix(got, "no column") {
			t.Errorf("%s: got\n%s\nexpected\n%s", c.name, got, c.want)
		}
	}
}

func FuzzInfer(f *testing.F) {
	f.Add(strings.Join(zoo.Columns(), ","))
	f.Add("a_b counts,a_c counts,a_b_fraction fractions,a_total counts,a_b counts")
	f.Fuzz(func(t *testing.T, names string) {
		if out, err := labels.Infer(columns(names)); err == nil {
			use(t, out.Schema)
		}
	})
}
