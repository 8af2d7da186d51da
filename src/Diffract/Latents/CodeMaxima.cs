using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>The largest unscaled code of each latent.</summary>
public static class CodeMaxima
{
    /// <summary>Tensor of a file of maxima, [L].</summary>
    public const string Tensor = "max_activation";

    /// <summary>Over rows of loose activations; 0 where a latent is never active.</summary>
    public static float[] Of(LooseCodes codes, int first, int count, IProgressSink progress, CancellationToken stop)
    {
        float[] max_L = new float[codes.Crosscoder.Latents];
        codes.ForEach(
            first, count, whole: false, (row, acts_BE, code) =>
            {
                Add(code, max_L);
                progress.Report("maxima", row + acts_BE.Rows - first, count, "rows");
            },
            stop);
        return max_L;
    }

    /// <exception cref="DiffractException">No such tensor, another length, or a value that is no number from 0.</exception>
    public static float[] Read(string path, int latents)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        float[] max_L = file.Floats(Tensor, latents);
        int broken = Array.FindIndex(max_L, m => !(float.IsFinite(m) && m >= 0));
        return broken < 0 ? max_L : throw new DiffractException(FormattableString.Invariant($"{path}: {Tensor}[{broken}] is {max_L[broken]}; wanted a number from 0, in units of the unscaled code"));
    }

    static void Add(SparseCode code, float[] max_L)
    {
        ReadOnlySpan<int> start = code.LatentStart.Span<int>();
        ReadOnlySpan<float> value = code.PairValue.Span<float>();
        for (int j = 0; j < max_L.Length; j++)
        {
            for (int p = start[j]; p < start[j + 1]; p++)
            {
                max_L[j] = Math.Max(max_L[j], value[p]);
            }
        }
    }
}
