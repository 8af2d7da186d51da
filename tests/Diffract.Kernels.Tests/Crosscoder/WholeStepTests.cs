using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;

namespace Diffract.Kernels.Tests.Crosscoder;

/// <summary>The ops in the order of a training step: gradients against finite differences, the same bits on any number of threads, no allocation.</summary>
public sealed class WholeStepTests
{
    public static TheoryData<CpuPath> Paths => new(CpuPath.Vector, CpuPath.Avx2, CpuPath.Avx512);

    [Theory]
    [MemberData(nameof(BackendsUnderTest.Names), MemberType = typeof(BackendsUnderTest))]
    public void Gradients_are_those_of_the_loss(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        foreach (bool squared in new[] { false, true })
        {
            foreach (double mu in new[] { 0, 0.3 })
            {
                CrosscoderCase given = new(6, 9, [4, 3], exact: false, seed: 21);
                backend.Crosscoder.DecoderNorms(given.Parameters);
                using SparseCode code = given.NewCode();
                using Step step = new(given);
                // Beta1 = 0: the first moment is the gradient.
                LatentParameters p = given.Copy(mu == 0 ? null : Matrix.Host(9, 2));
                Selection selection = mu == 0 ? Selection.BatchTopK(20) : Selection.Positive;
                step.Run(backend.Crosscoder, p, code, selection, squared, mu, AdamStep.At(1, 0, 1, beta1: 0));

                Formula formula = new(given, code, squared, mu);
                Compare(formula, formula.WEnc, p.EncM_LE, "gEnc");
                Compare(formula, formula.WDec, p.DecM_LE, "gDec");
                Compare(formula, formula.BEnc, p.BiasM_L, "gBias");
                Compare(formula, formula.BDec, step.BiasGradient_E, "gradient of bDec");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void Steps_have_the_same_bits_on_any_number_of_threads(CpuPath path)
    {
        Assert.SkipWhen(path == CpuPath.Avx2 && !System.Runtime.Intrinsics.X86.Fma.IsSupported, "this processor has no AVX2 with FMA");
        foreach (double mu in new[] { 0, 0.05 })
        {
            LatentParameters one = Train(path, 1, mu, out Matrix recon1, out double squares1, out float cut1);
            foreach (int threads in new[] { 2, 5 })
            {
                LatentParameters many = Train(path, threads, mu, out Matrix recon, out double squares, out float cut);
                Assert.Equal(squares1, squares);
                Assert.Equal(cut1, cut);
                Check.SameBits(recon1, recon, "reconstruction");
                Check.SameBits(one.WEnc_LE, many.WEnc_LE, "wEnc");
                Check.SameBits(one.WDec_LE, many.WDec_LE, "wDec");
                Check.SameBits(one.BEnc_L, many.BEnc_L, "bEnc");
                Check.SameBits(one.Scale_L, many.Scale_L, "scale");
            }
        }
    }

    [Theory]
    [MemberData(nameof(BackendsUnderTest.CpuNames), MemberType = typeof(BackendsUnderTest))]
    public void A_warm_step_allocates_nothing(string name)
    {
        using IBackend backend = BackendsUnderTest.Create(name);
        CrosscoderCase given = new(70, 200, [24, 20], exact: false, seed: 8);
        backend.Crosscoder.DecoderNorms(given.Parameters);
        using SparseCode code = given.NewCode();
        using Step step = new(given);
        LatentParameters p = given.Copy(Matrix.Host(200, 2));
        code.Reserve(70 * 200);
        step.Aux.Reserve(70 * 200);
        step.Run(backend.Crosscoder, p, code, Selection.Positive, false, 0.1, AdamStep.At(1, 1e-3, 1));
        step.Run(backend.Crosscoder, p, code, Selection.BatchTopK(600), false, 0, AdamStep.At(2, 1e-3, 1));
        step.RunDense(backend.Crosscoder, p, 0.1);
        Assert.Equal(0, Allocations.Least(() =>
        {
            step.Run(backend.Crosscoder, p, code, Selection.Positive, false, 0.1, AdamStep.At(3, 1e-3, 1));
            step.Run(backend.Crosscoder, p, code, Selection.BatchTopK(600), false, 0, AdamStep.At(4, 1e-3, 1));
            step.RunDense(backend.Crosscoder, p, 0.1);
        }));
    }

    static LatentParameters Train(CpuPath path, int threads, double mu, out Matrix recon_BE, out double squares, out float cut)
    {
        using CpuBackend backend = new(path, threads);
        CrosscoderCase given = new(130, 700, [37, 33], exact: false, seed: 5);
        backend.Crosscoder.DecoderNorms(given.Parameters);
        using SparseCode code = given.NewCode();
        using Step step = new(given);
        LatentParameters p = given.Copy(mu == 0 ? null : Matrix.Host(700, 2));
        for (int t = 1; t <= 3; t++)
        {
            step.Run(backend.Crosscoder, p, code, mu == 0 ? Selection.BatchTopK(2000) : Selection.Positive, false, mu, AdamStep.At(t, 1e-3, 0.5));
        }

        step.RunDense(backend.Crosscoder, p, mu);
        recon_BE = step.Recon_BE;
        squares = step.Squares;
        cut = code.SmallestScaled;
        return p;
    }

    internal static void Compare(Formula formula, double[] values, Matrix gradient, string what)
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

    /// <summary>The buffers of a step and its ops in order.</summary>
    sealed class Step(CrosscoderCase given) : IDisposable
    {
        readonly Matrix _residual_BE = Matrix.Host(given.Tokens, given.E);
        readonly Matrix _grad_BE = Matrix.Host(given.Tokens, given.E);
        readonly Matrix _auxGrad_BE = Matrix.Host(given.Tokens, given.E);
        readonly Matrix _sums_L = Matrix.Host(1, given.Latents);
        readonly Matrix _code_BL = Matrix.Host(given.Tokens, given.Latents);
        readonly Matrix _codeGrad_BL = Matrix.Host(given.Tokens, given.Latents);
        readonly Matrix _gBias_L = Matrix.Host(1, given.Latents);
        readonly int[] _dead = [.. Enumerable.Range(0, given.Latents).Where(j => j % 5 == 0)];

        public SparseCode Aux { get; } = given.NewCode();

        public Matrix Recon_BE { get; } = Matrix.Host(given.Tokens, given.E);

        public Matrix BiasGradient_E { get; } = Matrix.Host(1, given.E);

        public double Squares { get; private set; }

        public void Run(ICrosscoderKernels kernels, LatentParameters p, SparseCode code, Selection selection, bool squared, double mu, AdamStep adam)
        {
            float penalty = (float)(mu / given.Tokens);
            kernels.EncodeSelect(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, selection, code);
            kernels.Decode(code, p.WDec_LE, given.BDec_E, Recon_BE);
            kernels.Residual(given.Acts_BE, Recon_BE, given.Offsets, squared, _residual_BE, _grad_BE);
            kernels.CodeGradient(code, _grad_BE, p.WDec_LE, p.Scale_L, penalty);
            kernels.ColumnSums(_grad_BE, BiasGradient_E);
            if (p.Pull_LM is { } pull_LM)
            {
                kernels.CodeSums(code, _sums_L);
                for (int j = 0; j < given.Latents; j++)
                {
                    pull_LM.Row(j).Fill(penalty * _sums_L.Row(0)[j]);
                }
            }

            kernels.SelectDead(given.Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, _dead, 4, Aux);
            kernels.Decode(Aux, p.WDec_LE, null, Recon_BE);
            kernels.AuxResidual(_residual_BE, Recon_BE, 1.0 / 32, _auxGrad_BE);
            kernels.CodeGradient(Aux, _auxGrad_BE, p.WDec_LE, p.Scale_L, 0);
            kernels.Decode(code, p.WDec_LE, given.BDec_E, Recon_BE);

            // The finite differences know no aux term; the other checks do.
            ReadOnlySpan<LatentTerm> terms = adam.Beta1 == 0 ? [new(code, _grad_BE)] : [new(code, _grad_BE), new(Aux, _auxGrad_BE)];
            Squares = kernels.GradientSquares(terms, given.Acts_BE, p);
            kernels.UpdateLatents(terms, given.Acts_BE, p, adam);
        }

        public void RunDense(ICrosscoderKernels kernels, LatentParameters p, double mu)
        {
            kernels.EncodeDense(given.Acts_BE, p.WEnc_LE, p.BEnc_L, _code_BL);
            kernels.DecodeDense(_code_BL, p.WDec_LE, given.BDec_E, Recon_BE);
            kernels.Residual(given.Acts_BE, Recon_BE, given.Offsets, false, _residual_BE, _grad_BE);
            kernels.CodeGradientDense(_code_BL, _grad_BE, p.WDec_LE, p.Scale_L, (float)(mu / given.Tokens), _codeGrad_BL, _gBias_L);
            DenseTerm term = new(_code_BL, _codeGrad_BL, _gBias_L, _grad_BE);
            Squares += kernels.GradientSquaresDense(term, given.Acts_BE, p);
            kernels.UpdateLatentsDense(term, given.Acts_BE, p, AdamStep.At(5, 1e-3, 1));
        }

        public void Dispose() => Aux.Dispose();
    }

    /// <summary>The loss in double, written out, with the selection of a code held fixed.</summary>
    internal sealed class Formula
    {
        readonly CrosscoderCase _given;
        readonly bool[,] _on_BL;
        readonly bool _squared;
        readonly double _mu;

        public Formula(CrosscoderCase given, SparseCode code, bool squared, double mu)
        {
            _given = given;
            _squared = squared;
            _mu = mu;
            WEnc = Doubles(given.Parameters.WEnc_LE);
            BEnc = Doubles(given.Parameters.BEnc_L);
            WDec = Doubles(given.Parameters.WDec_LE);
            BDec = Doubles(given.BDec_E);
            _on_BL = new bool[given.Tokens, given.Latents];
            // The latent that decodes to nothing has no norm to differentiate.
            for (int j = 0; j < given.Latents; j++)
            {
                for (int i = code.LatentStart.Span<int>()[j]; i < code.LatentStart.Span<int>()[j + 1]; i++)
                {
                    _on_BL[code.PairToken.Span<int>()[i], j] = true;
                }
            }
        }

        public double[] WEnc { get; }

        public double[] BEnc { get; }

        public double[] WDec { get; }

        public double[] BDec { get; }

        public double Loss()
        {
            int e = _given.E, latents = _given.Latents, models = _given.Offsets.Length - 1;
            double loss = 0;
            for (int b = 0; b < _given.Tokens; b++)
            {
                double[] recon = [.. BDec];
                for (int j = 0; j < latents; j++)
                {
                    if (!_on_BL[b, j])
                    {
                        continue;
                    }

                    double f = BEnc[j], s = 0;
                    for (int c = 0; c < e; c++)
                    {
                        f += WEnc[j * e + c] * _given.Acts_BE.Row(b)[c];
                    }

                    for (int c = 0; c < e; c++)
                    {
                        recon[c] += f * WDec[j * e + c];
                    }

                    for (int m = 0; m < models; m++)
                    {
                        s += Norm(c => WDec[j * e + c], m);
                    }

                    loss += _mu * f * s / _given.Tokens;
                }

                for (int m = 0; m < models; m++)
                {
                    double norm = Norm(c => _given.Acts_BE.Row(b)[c] - recon[c], m);
                    loss += (_squared ? norm * norm : norm) / (_given.Tokens * models);
                }
            }

            return loss;
        }

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
