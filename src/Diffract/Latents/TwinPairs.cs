using System.Text.Json;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>Pairs of a chat-only and a base-only latent that write nearly the same direction (spec 4.4), and the control with the same members in other pairs.</summary>
public static class TwinPairs
{
    /// <summary>Cosine of d_chat of the one and d_base of the other above which they are twins.</summary>
    public const double CosineAbove = 0.9;

    /// <summary>
    /// All candidates one to one: the pair of the largest cosine first, then the largest among those that are left; equal ones by latent.
    /// </summary>
    /// <returns>Pairs (chat-only, base-only) with their cosines, largest first, and how many candidates there were.</returns>
    public static ((int Chat, int Base, double Cosine)[] Pairs, int Candidates) Find(Crosscoder crosscoder, IBackend backend)
    {
        int[] ofChat = Class(crosscoder, LatentClass.ChatOnly), ofBase = Class(crosscoder, LatentClass.BaseOnly);
        if (ofChat.Length == 0 || ofBase.Length == 0)
        {
            return ([], 0);
        }

        int width = crosscoder.Config.Widths[0];
        Matrix chat_AD = Unit(crosscoder, ofChat, width, width, backend), base_BD = Unit(crosscoder, ofBase, 0, width, backend), cosine_AB = backend.Matrix(ofChat.Length, ofBase.Length);
        using IBuffer chat = chat_AD.Buffer, b = base_BD.Buffer, cosine = cosine_AB.Buffer;
        backend.Transformer.MatMul(chat_AD, base_BD, cosine_AB);
        List<(int Chat, int Base, double Cosine)> candidates = [];
        for (int i = 0; i < ofChat.Length; i++)
        {
            for (int j = 0; j < ofBase.Length; j++)
            {
                if (cosine_AB.Row(i)[j] > CosineAbove)
                {
                    candidates.Add((ofChat[i], ofBase[j], cosine_AB.Row(i)[j]));
                }
            }
        }

        HashSet<int> taken = [];
        return ([.. candidates.OrderByDescending(c => c.Cosine).ThenBy(c => c.Chat).ThenBy(c => c.Base).Where(c => !taken.Contains(c.Chat) && !taken.Contains(c.Base) && taken.Add(c.Chat) && taken.Add(c.Base))], candidates.Count);
    }

    /// <summary>The same members in other pairs: no base-only latent stays with its twin. Empty for fewer than two pairs.</summary>
    public static (int First, int Second)[] Control(IReadOnlyList<(int First, int Second)> pairs, int seed)
    {
        if (pairs.Count < 2)
        {
            return [];
        }

        // Sattolo's shuffle makes one cycle, so that nothing stays in its place.
        int[] order = [.. Enumerable.Range(0, pairs.Count)];
        for (int i = order.Length - 1; i > 0; i--)
        {
            int j = (int)(Draws.Uniform((ulong)seed, 0x7417, (ulong)i) * i);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return [.. pairs.Select((p, i) => (p.First, pairs[order[i]].Second))];
    }

    /// <summary>Reads a JSON array of pairs [chat-only, base-only].</summary>
    /// <exception cref="DiffractException">Not such an array, or an index that there is not.</exception>
    public static (int First, int Second)[] Read(string path, int latents)
    {
        if (!File.Exists(path))
        {
            throw DiffractException.Argument($"--pairs {path}: the file does not exist; wanted a JSON array of pairs, [[chat-only latent, base-only latent], …]");
        }

        int[][] pairs;
        try
        {
            pairs = JsonSerializer.Deserialize<int[][]>(File.ReadAllText(path)) ?? [];
        }
        catch (JsonException e)
        {
            throw new DiffractException($"{path} is not a JSON array of pairs, [[chat-only latent, base-only latent], …] ({e.Message})", inner: e);
        }

        int wrong = Array.FindIndex(pairs, p => p is not { Length: 2 } || p.Any(j => j < 0 || j >= latents));
        return wrong >= 0
            ? throw new DiffractException($"{path}: entry {wrong} is no pair of latents from 0 to {latents - 1}; wanted [chat-only latent, base-only latent]")
            : pairs.Length == 0 ? throw new DiffractException($"{path} holds no pair; wanted one at least") : [.. pairs.Select(p => (p[0], p[1]))];
    }

    static int[] Class(Crosscoder crosscoder, LatentClass wanted)
        => [.. Enumerable.Range(0, crosscoder.Latents).Where(j => LatentClasses.Of(LatentVectors.Of(crosscoder.WDec_LE, crosscoder.ModelOffsets, j).Delta) == wanted)];

    static Matrix Unit(Crosscoder crosscoder, int[] latents, int column, int width, IBackend backend)
    {
        Matrix unit = backend.Matrix(latents.Length, width);
        for (int i = 0; i < latents.Length; i++)
        {
            ReadOnlySpan<float> row_D = crosscoder.WDec_LE.Row(latents[i]).Slice(column, width);
            double norm = Math.Sqrt(LatentVectors.Dot(row_D, row_D));
            for (int d = 0; d < width; d++)
            {
                unit.Row(i)[d] = (float)(row_D[d] / norm);
            }
        }

        return unit;
    }
}
