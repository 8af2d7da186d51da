using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Checks;

/// <summary>A small crosscoder with a batch, the same numbers at every making: 41 tokens, 150 latents, models of width 33 and 40.</summary>
sealed class CheckInputs
{
    public const int Tokens = 41;
    public const int Latents = 150;

    readonly Random _random = new(17);

    public CheckInputs()
    {
        Acts_BE = Fill(Tokens, E);
        Grad_BE = Fill(Tokens, E);
        BDec_E = Fill(1, E);
        Code_BL = Fill(Tokens, Latents);
        Parameters = new LatentParameters(
            Fill(Latents, E), Fill(1, Latents), Fill(Latents, E), Fill(Latents, E, 0.1), Positive(Latents, E), Fill(1, Latents, 0.1), Positive(1, Latents), Fill(Latents, E, 0.1), Positive(Latents, E),
            Positive(Latents, 2), Positive(1, Latents), Offsets, CodeNormKind.Crosscoder, Fill(Latents, 2, 0.01));
    }

    public static int[] Offsets { get; } = [0, 33, 73];

    public static int E => Offsets[^1];

    public Matrix Acts_BE { get; }

    public Matrix Grad_BE { get; }

    public Matrix BDec_E { get; }

    /// <summary>A dense code, half of it negative.</summary>
    public Matrix Code_BL { get; }

    public LatentParameters Parameters { get; }

    /// <summary>Numbers from -scale to scale.</summary>
    public Matrix Fill(int rows, int columns, double scale = 1)
    {
        Matrix matrix = Matrix.Host(rows, columns);
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float x in matrix.Row(r))
            {
                x = (float)(scale * (2 * _random.NextDouble() - 1));
            }
        }

        return matrix;
    }

    /// <summary>Numbers from 0.05 to 1.</summary>
    public Matrix Positive(int rows, int columns)
    {
        Matrix matrix = Fill(rows, columns);
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float x in matrix.Row(r))
            {
                x = 0.05f + 0.95f * Math.Abs(x);
            }
        }

        return matrix;
    }

    /// <summary>A code of the backend's own, with its gradients.</summary>
    public SparseCode Code(IBackend backend)
    {
        LatentParameters p = Parameters;
        SparseCode code = new(Tokens, Latents, 16);
        backend.Crosscoder.EncodeSelect(Acts_BE, p.WEnc_LE, p.BEnc_L, p.Scale_L, Selection.BatchTopK(20 * Tokens), code);
        backend.Crosscoder.CodeGradient(code, Grad_BE, p.WDec_LE, p.Scale_L, 0.01f);
        return code;
    }

    public static double[] Values(Matrix matrix)
    {
        List<double> values = [];
        for (int r = 0; r < matrix.Rows; r++)
        {
            foreach (float x in matrix.Row(r))
            {
                values.Add(x);
            }
        }

        return [.. values];
    }

    /// <summary>Pairs as a dense matrix [B·L], so that one that only one side has shows.</summary>
    public static double[] Dense(SparseCode code, HostBuffer values)
    {
        double[] dense = new double[code.Tokens * code.Latents];
        Span<int> start = code.LatentStart.Span<int>(), token = code.PairToken.Span<int>();
        Span<float> value = values.Span<float>();
        for (int j = 0; j < code.Latents; j++)
        {
            for (int i = start[j]; i < start[j + 1]; i++)
            {
                dense[token[i] * code.Latents + j] = value[i];
            }
        }

        return dense;
    }

    /// <summary>Everything that an update moves.</summary>
    public List<double[]> Moved()
    {
        LatentParameters p = Parameters;
        Matrix[] moved = [p.WEnc_LE, p.BEnc_L, p.WDec_LE, p.EncM_LE, p.EncV_LE, p.BiasM_L, p.BiasV_L, p.DecM_LE, p.DecV_LE, p.Norms_LM, p.Scale_L];
        return [.. moved.Select(Values)];
    }
}
