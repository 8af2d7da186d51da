using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>
/// JumpReLU: a pair worked by hand, every backend against the oracle, and the straight-through gradients against finite differences of the objective whose derivative they are: each step function
/// [z &gt; 0] stands as h + H_ε(z) - H_ε(z₀) there, with the value h of the step at the point and the slope of the ramp H_ε(z) = clamp(z/ε + ½, 0, 1).
/// </summary>
public sealed class JumpReLUTests
{
    static readonly ReferenceCrosscoderKernels Oracle = new ReferenceCrosscoderKernels();
    static readonly JumpShape Shape = new(Bandwidth: 0.8, Saturation: 0.7, Penalty: 0.05);

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Three_pairs_by_hand(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        Matrix acts_BE = Matrix.Host(4, 1), one = Matrix.Host(1, 1), zero_L = Matrix.Host(1, 1), scale_L = Matrix.Host(1, 1), threshold_L = Matrix.Host(1, 1);
        new float[] { 0.45f, 1, 3, -1 }.CopyTo(Column(acts_BE));
        one.Row(0)[0] = 1;
        scale_L.Row(0)[0] = 2;
        threshold_L.Row(0)[0] = 1;
        using SparseCode code = new(4, 1, 4);
        backend.Crosscoder.EncodeSelect(acts_BE, one, zero_L, scale_L, Selection.AboveEach(zero_L), code);
        backend.Crosscoder.JumpGate(code, scale_L, threshold_L);
        Assert.Equal([0, 1, 3], Check.Floats(code.PairValue, 3));
        Assert.Equal([0.45f, 1, 3], Check.Floats(code.PairInput, 3));

        // q = 0.9, 2, 6; with ε = 4 the first two lie in the window. The first has its tanh in the penalty it would carry, the other two have it in their own too.
        new float[] { 5, -1, 2 }.CopyTo(code.PairGradient.Span<float>());
        Matrix gThreshold_L = Matrix.Host(1, 1), gScale_L = Matrix.Host(1, 1);
        JumpSums sums = backend.Crosscoder.JumpGradient(code, scale_L, threshold_L, new JumpShape(4, 3, 0.1), gThreshold_L, gScale_L);
        double[] t = [3 * Math.Tanh(0.3), 3 * Math.Tanh(2.0 / 3), 3 * Math.Tanh(2)];
        double first = 5 * 0.45 + 0.1 * t[0], second = -1 + 0.1 * t[1];
        double bend2 = 0.1 * (1 - Math.Pow(Math.Tanh(2.0 / 3), 2)), bend3 = 0.1 * (1 - Math.Pow(Math.Tanh(2), 2));
        Assert.Equal(2, sums.Active);
        Assert.Equal(t[1] + t[2], sums.Penalty, 1e-6);
        Assert.Equal(2 * first / 4, code.PairGradient.Span<float>()[0], 1e-6);
        Assert.Equal(-1 + 2 * bend2 + 2 * second / 4, code.PairGradient.Span<float>()[1], 1e-6);
        Assert.Equal(2 + 2 * bend3, code.PairGradient.Span<float>()[2], 1e-6);
        Assert.Equal(-(first + second) / 4, gThreshold_L.Row(0)[0], 1e-6);
        Assert.Equal(bend2 + 3 * bend3 + (0.45 * first + second) / 4, gScale_L.Row(0)[0], 1e-6);
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void Every_backend_agrees_and_allocates_nothing(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        foreach ((int tokens, int latents) in new[] { (1, 1), (33, 200), (64, 129) })
        {
            CrosscoderCase given = new(tokens, latents, [5, 4], exact: true, seed: tokens);
            Matrix threshold_L = Thresholds(latents);
            using SparseCode wanted = given.NewCode(), got = given.NewCode();
            JumpSums wantedSums = Run(Oracle, given, threshold_L, wanted, out Matrix wantedThreshold_L, out Matrix wantedScale_L);
            JumpSums gotSums = Run(backend.Crosscoder, given, threshold_L, got, out Matrix gotThreshold_L, out Matrix gotScale_L);
            Assert.Equal(wantedSums.Active, gotSums.Active);
            Check.Near(wantedSums.Penalty, gotSums.Penalty, Tolerance.DoubleSums, "penalty");
            Assert.Equal(Check.Floats(wanted.PairValue, wanted.Pairs), Check.Floats(got.PairValue, got.Pairs));
            Check.Near(Check.Row(wanted.PairGradient, wanted.Pairs), Check.Row(got.PairGradient, got.Pairs), Tolerance.Elementwise, "dLoss/dp");
            Check.Near(wantedThreshold_L, gotThreshold_L, Tolerance.Elementwise, "dLoss/dθ");
            Check.Near(wantedScale_L, gotScale_L, Tolerance.Elementwise, "dLoss/ds");
            Assert.Equal(0, Allocations.Least(() =>
            {
                backend.Crosscoder.JumpGate(got, given.Parameters.Scale_L, threshold_L);
                backend.Crosscoder.JumpGradient(got, given.Parameters.Scale_L, threshold_L, Shape, gotThreshold_L, gotScale_L);
            }));
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Gradients_are_those_of_the_smoothed_objective(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        ICrosscoderKernels kernels = backend.Crosscoder;
        CrosscoderCase given = new(14, 12, [4, 3], exact: false, seed: 21);
        LatentParameters p = given.Copy(Matrix.Host(12, 2));
        kernels.DecoderNorms(p);
        Matrix threshold_L = Thresholds(12), floor_L = Matrix.Host(1, 12), gThreshold_L = Matrix.Host(1, 12), gScale_L = Matrix.Host(1, 12);
        for (int j = 0; j < 12; j++)
        {
            floor_L.Row(0)[j] = Math.Max(0, threshold_L.Row(0)[j] - (float)(Shape.Bandwidth / 2));
        }

        Matrix recon_BE = Matrix.Host(14, 7), grad_BE = Matrix.Host(14, 7), biasGradient_E = Matrix.Host(1, 7);
        using SparseCode code = given.NewCode();
        kernels.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, Selection.AboveEach(floor_L), code);
        kernels.JumpGate(code, p.Scale_L, threshold_L);
        kernels.Decode(code, p.WDec_LE, given.BDec_E, recon_BE);
        kernels.Residual(given.Acts_BE, recon_BE, given.Offsets, false, null, grad_BE);
        kernels.CodeGradient(code, grad_BE, p.WDec_LE, p.Scale_L, 0);
        JumpSums sums = kernels.JumpGradient(code, p.Scale_L, threshold_L, Shape, gThreshold_L, gScale_L);
        for (int j = 0; j < 12; j++)
        {
            p.Pull_LM!.Value.Row(j).Fill(gScale_L.Row(0)[j]);
        }

        // Beta1 = 0: the first moment is the gradient.
        kernels.UpdateLatents([new LatentTerm(code, grad_BE)], given.Acts_BE, p, AdamStep.At(1, 0, 1, beta1: 0));
        kernels.ColumnSums(grad_BE, biasGradient_E);
        Formula formula = new(given, threshold_L);
        Assert.InRange(sums.Active, 5, code.Pairs - 5);
        Assert.Equal(formula.Active, sums.Active);
        Compare(formula, formula.WEnc, p.EncM_LE, "gEnc");
        Compare(formula, formula.WDec, p.DecM_LE, "gDec");
        Compare(formula, formula.BEnc, p.BiasM_L, "gBias");
        Compare(formula, formula.BDec, biasGradient_E, "gradient of bDec");
        Compare(formula, formula.Threshold, gThreshold_L, "gradient of θ");
    }

    static JumpSums Run(ICrosscoderKernels kernels, CrosscoderCase given, Matrix threshold_L, SparseCode code, out Matrix gThreshold_L, out Matrix gScale_L)
    {
        LatentParameters p = given.Parameters;
        Matrix floor_L = Matrix.Host(1, given.Latents);
        (gThreshold_L, gScale_L) = (Matrix.Host(1, given.Latents), Matrix.Host(1, given.Latents));
        kernels.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, Selection.AboveEach(floor_L), code);
        kernels.JumpGate(code, p.Scale_L, threshold_L);
        for (int i = 0; i < code.Pairs; i++)
        {
            code.PairGradient.Span<float>()[i] = (i * 37 % 19 - 9) / 8f;
        }

        return kernels.JumpGradient(code, p.Scale_L, threshold_L, Shape, gThreshold_L, gScale_L);
    }

    /// <summary>From below to above half the bandwidth; the last one, of a latent that decodes to nothing, so that 0 lies outside its window.</summary>
    static Matrix Thresholds(int latents)
    {
        Matrix threshold_L = Matrix.Host(1, latents);
        for (int j = 0; j < latents; j++)
        {
            threshold_L.Row(0)[j] = j == latents - 1 ? 0.6f : 0.11f + j * 5 % 11 / 8f;
        }

        return threshold_L;
    }

    static Span<float> Column(Matrix matrix) => ((HostBuffer)matrix.Buffer).Span<float>()[..matrix.Rows];

    static void Compare(Formula formula, double[] values, Matrix gradient, string what)
    {
        const double H = 1e-6;
        double largest = 0, worst = 0;
        for (int i = 0; i < values.Length; i++)
        {
            double kept = values[i];
            values[i] = kept + H;
            double up = formula.Loss();
            values[i] = kept - H;
            double down = formula.Loss();
            values[i] = kept;
            double slope = (up - down) / (2 * H);
            largest = Math.Max(largest, Math.Abs(slope));
            worst = Math.Max(worst, Math.Abs(slope - gradient.Row(i / gradient.Columns)[i % gradient.Columns]));
        }

        Assert.True(largest > 0 && worst <= 1e-5 * largest, $"{what}: off by {worst}, largest {largest}");
    }

    /// <summary>The objective in double, written out, for the point where it was made.</summary>
    sealed class Formula
    {
        readonly CrosscoderCase _given;
        readonly double[,] _gap_BL;

        public Formula(CrosscoderCase given, Matrix threshold_L)
        {
            _given = given;
            (WEnc, BEnc, WDec) = (Doubles(given.Parameters.WEnc_LE), Doubles(given.Parameters.BEnc_L), Doubles(given.Parameters.WDec_LE));
            (BDec, Threshold) = (Doubles(given.BDec_E), Doubles(threshold_L));
            _gap_BL = new double[given.Tokens, given.Latents];
            for (int b = 0; b < given.Tokens; b++)
            {
                for (int j = 0; j < given.Latents; j++)
                {
                    double z = Preactivation(b, j) * Scale(j) - Threshold[j];
                    _gap_BL[b, j] = (z > 0 ? 1 : 0) - Ramp(z);
                    Active += z > 0 ? 1 : 0;
                }
            }
        }

        public int Active { get; }

        public double[] WEnc { get; }

        public double[] BEnc { get; }

        public double[] WDec { get; }

        public double[] BDec { get; }

        public double[] Threshold { get; }

        public double Loss()
        {
            int models = _given.Offsets.Length - 1;
            double loss = 0;
            for (int b = 0; b < _given.Tokens; b++)
            {
                double[] recon = [.. BDec];
                for (int j = 0; j < _given.Latents; j++)
                {
                    double p = Preactivation(b, j), q = p * Scale(j);
                    double step = _gap_BL[b, j] + Ramp(q - Threshold[j]);
                    for (int c = 0; c < _given.E; c++)
                    {
                        recon[c] += p * step * WDec[j * _given.E + c];
                    }

                    loss += Shape.Penalty * Shape.Saturation * Math.Tanh(q / Shape.Saturation) * step;
                }

                for (int m = 0; m < models; m++)
                {
                    loss += Norm(c => _given.Acts_BE.Row(b)[c] - recon[c], m) / (_given.Tokens * models);
                }
            }

            return loss;
        }

        static double Ramp(double z) => Math.Clamp(z / Shape.Bandwidth + 0.5, 0, 1);

        double Preactivation(int token, int latent)
        {
            double z = BEnc[latent];
            for (int c = 0; c < _given.E; c++)
            {
                z += WEnc[latent * _given.E + c] * _given.Acts_BE.Row(token)[c];
            }

            return Math.Max(0, z);
        }

        double Scale(int latent) => Enumerable.Range(0, _given.Offsets.Length - 1).Sum(m => Norm(c => WDec[latent * _given.E + c], m));

        double Norm(Func<int, double> x, int model)
        {
            double sum = 0;
            for (int c = _given.Offsets[model]; c < _given.Offsets[model + 1]; c++)
            {
                sum += x(c) * x(c);
            }

            return Math.Sqrt(sum);
        }

        static double[] Doubles(Matrix matrix)
        {
            double[] values = new double[matrix.Rows * matrix.Columns];
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = matrix.Row(i / matrix.Columns)[i % matrix.Columns];
            }

            return values;
        }
    }
}
