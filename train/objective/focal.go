package objective

import "galaxy/focal"

// Focal is focal loss; see package focal.
const Focal Loss = "focal"

func init() {
	usual := focal.Default()
	register(Focal, lossRow{
		constants: []Constant{
			{Name: "alpha", Usage: "weight of a vote for", Default: usual.Alpha, Low: 0, High: 1, Open: true},
			{Name: "gamma", Usage: "focus on what is hard", Default: usual.Gamma, Low: 0, High: focal.MaxGamma},
		},
		binary: func(c Config) binary { return focal.Params{Alpha: c.Constant("alpha"), Gamma: c.Constant("gamma")} },
		lacks:  "its inverse to vote fractions is one of independent columns, and inside a softmax it would not be right",
	})
}
