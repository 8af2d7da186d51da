using Diffract.Formats;
using Diffract.Latents;

namespace Diffract.Tests.Latents;

/// <summary>The sparse activations that the published statistics were computed from: 40 latents over 300 sequences.</summary>
sealed class GoldenActivations
{
    public GoldenActivations()
    {
        using SafetensorsFile file = SafetensorsFile.Open(GoldenFiles.Path("statistics/latent_activations.safetensors"));
        Max_L = file.Floats("max_act");
        Rate_L = file.Doubles("freq");
        long[] tokens = file.Integers("tokens"), sequence = file.Integers("sequence"), position = file.Integers("position"), latent = file.Integers("latent");
        float[] value = file.Floats("value");
        int first = 0;
        foreach (long length in file.Integers("lengths"))
        {
            Sequences.Add([.. tokens.AsSpan(first, (int)length).ToArray().Select(t => (int)t)]);
            FirstToken.Add(first);
            Entries.Add([]);
            first += (int)length;
        }

        for (int i = 0; i < value.Length; i++)
        {
            Entries[(int)sequence[i]].Add(new TokenEntry((int)position[i], (int)latent[i], value[i]));
        }

        Tokens = first;
    }

    public int Tokens { get; }

    public float[] Max_L { get; }

    public double[] Rate_L { get; }

    public List<int[]> Sequences { get; } = [];

    public List<int> FirstToken { get; } = [];

    public List<List<TokenEntry>> Entries { get; } = [];

    /// <summary>(token among all, value) of a latent, ascending.</summary>
    public (int Token, float Value)[] Of(int latent)
        => [.. Entries.SelectMany((of, s) => of.Where(e => e.Latent == latent).Select(e => (FirstToken[s] + e.Token, e.Value))).OrderBy(e => e.Item1)];
}
