using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Reference;

/// <summary>Weight gradients, Adam and decoder norms.</summary>
public sealed partial class ReferenceCrosscoderKernels
{
    public double GradientSquares(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, bool keep = false)
    {
        CodeGradients(terms, parameters);
        LatentGradient g = new(acts_BE.Columns);
        int latents = parameters.WEnc_LE.Rows, size = terms.Length == 0 ? VirtualShards.Size(latents) : terms[0].Code.ShardSize;
        double[] sums = new double[Shards(latents, size)];
        for (int j = 0; j < latents; j++)
        {
            g.Collect(terms, acts_BE, parameters, j);
            sums[j / size] += g.Squares();
        }

        return VirtualShards.Add(sums);
    }

    public void UpdateLatents(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam)
    {
        CodeGradients(terms, parameters);
        LatentGradient g = new(acts_BE.Columns);
        for (int j = 0; j < parameters.WEnc_LE.Rows; j++)
        {
            g.Collect(terms, acts_BE, parameters, j);
            Move(j, g, parameters, adam);
        }

        DecoderNorms(parameters);
    }

    public double GradientSquaresDense(in DenseTerm term, Matrix acts_BE, in LatentParameters parameters)
    {
        LatentGradient g = new(acts_BE.Columns);
        int latents = parameters.WEnc_LE.Rows, size = VirtualShards.Size(latents);
        double[] sums = new double[Shards(latents, size)];
        for (int j = 0; j < latents; j++)
        {
            g.Collect(term, acts_BE, parameters, j);
            sums[j / size] += g.Squares();
        }

        return VirtualShards.Add(sums);
    }

    public void UpdateLatentsDense(in DenseTerm term, Matrix acts_BE, in LatentParameters parameters, in AdamStep adam)
    {
        LatentGradient g = new(acts_BE.Columns);
        for (int j = 0; j < parameters.WEnc_LE.Rows; j++)
        {
            g.Collect(term, acts_BE, parameters, j);
            Move(j, g, parameters, adam);
        }

        DecoderNorms(parameters);
    }

    public void UpdateDense(Matrix w, Matrix gradient, Matrix adamM, Matrix adamV, in AdamStep adam)
    {
        for (int r = 0; r < w.Rows; r++)
        {
            for (int c = 0; c < w.Columns; c++)
            {
                Adam(ref w.Row(r)[c], gradient.Row(r)[c], ref adamM.Row(r)[c], ref adamV.Row(r)[c], adam);
            }
        }
    }

    public void DecoderNorms(in LatentParameters parameters)
    {
        for (int j = 0; j < parameters.WDec_LE.Rows; j++)
        {
            double sum = 0;
            double squares = 0;
            for (int m = 0; m < parameters.ModelOffsets.Length - 1; m++)
            {
                double norm = DecoderNorm(parameters, j, m);
                parameters.Norms_LM.Row(j)[m] = (float)norm;
                sum += norm;
                squares += norm * norm;
            }

            CodeNorm norms = parameters.CodeNorm;
            parameters.Scale_L.Row(0)[j] = norms.Kind switch
            {
                CodeNormKind.Crosscoder or CodeNormKind.Decoupled => (float)sum,
                CodeNormKind.Sae => (float)Math.Sqrt(squares),
                CodeNormKind.Mixed => (float)(norms.AlphaSae * Math.Sqrt(squares) + norms.AlphaCc * sum),
                CodeNormKind.None => 1,
                _ => throw new ArgumentOutOfRangeException(nameof(parameters), parameters.CodeNorm, "unknown code norm"),
            };
        }
    }

    static void Move(int latent, LatentGradient g, in LatentParameters parameters, in AdamStep adam)
    {
        Adam(ref parameters.BEnc_L.Row(0)[latent], g.Bias, ref parameters.BiasM_L.Row(0)[latent], ref parameters.BiasV_L.Row(0)[latent], adam);
        Span<float> d = parameters.WDec_LE.Row(latent);
        for (int e = 0; e < d.Length; e++)
        {
            Adam(ref parameters.WEnc_LE.Row(latent)[e], g.Enc_E[e], ref parameters.EncM_LE.Row(latent)[e], ref parameters.EncV_LE.Row(latent)[e], adam);
            Adam(ref d[e], g.Dec_E[e], ref parameters.DecM_LE.Row(latent)[e], ref parameters.DecV_LE.Row(latent)[e], adam);
        }

        if (parameters.UnitDecoder)
        {
            double length = Math.Sqrt(Dot(d, d)) + float.BitIncrement(1) - 1;
            for (int e = 0; e < d.Length; e++)
            {
                d[e] = (float)(d[e] / length);
            }
        }
    }

    /// <summary>The code gradients that the terms leave to the op.</summary>
    void CodeGradients(ReadOnlySpan<LatentTerm> terms, in LatentParameters parameters)
    {
        foreach (LatentTerm term in terms)
        {
            if (term.Penalty is { } penalty)
            {
                CodeGradient(term.Code, term.Grad_BE, parameters.WDec_LE, parameters.Scale_L, penalty);
            }
        }
    }

    static void Adam(ref float w, double gradient, ref float adamM, ref float adamV, in AdamStep step)
    {
        double g = gradient * step.Clip;
        double m = step.Beta1 * adamM + (1 - step.Beta1) * g;
        double v = step.Beta2 * adamV + (1 - step.Beta2) * g * g;
        w = (float)(w - step.LearningRate / step.Correction1 * m / (Math.Sqrt(v) / Math.Sqrt(step.Correction2) + step.Epsilon));
        adamM = (float)m;
        adamV = (float)v;
    }

    static double DecoderNorm(in LatentParameters parameters, int latent, int model)
    {
        int first = parameters.ModelOffsets[model];
        Span<float> d = parameters.WDec_LE.Row(latent)[first..parameters.ModelOffsets[model + 1]];
        return Math.Sqrt(Dot(d, d));
    }

    /// <summary>pull_jm · d/‖d_jm‖ at one column; 0 without a pull or at norm 0.</summary>
    static double Pull(in LatentParameters parameters, int latent, int column)
    {
        if (parameters.Pull_LM is not { } pull_LM)
        {
            return 0;
        }

        int model = ModelOf(parameters.ModelOffsets, column);
        double norm = DecoderNorm(parameters, latent, model);
        return norm > 0 ? pull_LM.Row(latent)[model] * (double)parameters.WDec_LE.Row(latent)[column] / norm : 0;
    }

    /// <summary>The gradients of one latent, before clipping.</summary>
    sealed class LatentGradient(int width)
    {
        public double[] Enc_E { get; } = new double[width];

        public double[] Dec_E { get; } = new double[width];

        public double Bias { get; private set; }

        public void Collect(ReadOnlySpan<LatentTerm> terms, Matrix acts_BE, in LatentParameters parameters, int latent)
        {
            Start(parameters, latent);
            foreach (LatentTerm term in terms)
            {
                SparseCode code = term.Code;
                int end = code.LatentStart.Span<int>()[latent + 1];
                for (int i = code.LatentStart.Span<int>()[latent]; i < end; i++)
                {
                    int b = code.PairToken.Span<int>()[i];
                    double f = code.PairValue.Span<float>()[i];
                    double gamma = code.PairGradient.Span<float>()[i];
                    ReadOnlySpan<float> acts_E = acts_BE.Row(b);
                    ReadOnlySpan<float> grad_E = term.Grad_BE.Row(b);
                    Bias += gamma;
                    for (int e = 0; e < Enc_E.Length; e++)
                    {
                        Enc_E[e] += gamma * acts_E[e];
                        Dec_E[e] += ActiveAt(code, i, e) ? f * grad_E[e] : 0;
                    }
                }
            }

            End(parameters, latent);
        }

        public void Collect(in DenseTerm term, Matrix acts_BE, in LatentParameters parameters, int latent)
        {
            Start(parameters, latent);
            Bias = term.BiasGrad_L.Row(0)[latent];
            for (int b = 0; b < acts_BE.Rows; b++)
            {
                double f = term.Code_BL.Row(b)[latent];
                double gamma = term.CodeGrad_BL.Row(b)[latent];
                for (int e = 0; e < Enc_E.Length; e++)
                {
                    Enc_E[e] += gamma * acts_BE.Row(b)[e];
                    Dec_E[e] += f * term.Grad_BE.Row(b)[e];
                }
            }

            End(parameters, latent);
        }

        public double Squares()
        {
            double sum = Bias * Bias;
            for (int e = 0; e < Enc_E.Length; e++)
            {
                sum += Enc_E[e] * Enc_E[e] + Dec_E[e] * Dec_E[e];
            }

            return sum;
        }

        void Start(in LatentParameters parameters, int latent)
        {
            Bias = 0;
            for (int e = 0; e < Enc_E.Length; e++)
            {
                Enc_E[e] = 0;
                Dec_E[e] = Pull(parameters, latent, e);
            }
        }

        void End(in LatentParameters parameters, int latent)
        {
            Mask(parameters, latent);
            if (parameters.UnitDecoder)
            {
                Project(parameters.WDec_LE.Row(latent));
            }
        }

        void Mask(in LatentParameters parameters, int latent)
        {
            if (parameters.Masks is not { } masks)
            {
                return;
            }

            for (int e = 0; e < Enc_E.Length; e++)
            {
                int model = ModelOf(parameters.ModelOffsets, e);
                Enc_E[e] = masks.Reads(latent, model) ? Enc_E[e] : 0;
                Dec_E[e] = masks.Writes(latent, model) ? Dec_E[e] : 0;
            }
        }

        /// <summary>g -= ⟨g, n⟩n with n = d/(‖d‖ + 1e-6).</summary>
        void Project(ReadOnlySpan<float> d)
        {
            double length = Math.Sqrt(Dot(d, d)) + 1e-6;
            double along = 0;
            for (int e = 0; e < d.Length; e++)
            {
                along += Dec_E[e] * d[e] / length;
            }

            for (int e = 0; e < d.Length; e++)
            {
                Dec_E[e] -= along * d[e] / length;
            }
        }
    }
}
