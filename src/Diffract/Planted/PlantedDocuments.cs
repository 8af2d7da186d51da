using System.Runtime.InteropServices;
using System.Text.Json;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Planted;

/// <summary>
/// Synthetic documents and chats, in turn, in the form of a token store. A token's id is 1 + the latent that fires most strongly on it, 0 where none does. The second half of a chat is its answer.
/// </summary>
static class PlantedDocuments
{
    public const int Longest = 256;
    public const double TrainShare = 0.6;
    public const double ScalingShare = 0.2;
    const int Shortest = 64;
    const ulong Stream = 104;

    /// <summary>Documents that hold at least so many tokens.</summary>
    public static TokenDocument[] Of(PlantedSettings settings)
    {
        List<TokenDocument> documents = [];
        long start = 0;
        for (int number = 0; start < settings.Tokens; number++)
        {
            DrawStream draws = new((ulong)settings.Seed, Stream, (ulong)number);
            int length = Shortest + (int)(draws.Uniform() * (Longest - Shortest + 1));
            double share = SeededHash.Unit(SeededHash.Of((ulong)settings.Seed, (ulong)number));
            Split split = share < TrainShare ? Split.Train : share < TrainShare + ScalingShare ? Split.Scaling : Split.HeldOut;
            documents.Add(new TokenDocument(number, start, length, number % 2 == 0 ? TextSource.Document : TextSource.Chat, split, $"planted-{number}", []));
            start += length;
        }

        return [.. documents];
    }

    /// <summary>Writes ids, marks and documents; returns their seals.</summary>
    public static Dictionary<string, FileSeal> Write(string folder, TokenDocument[] documents, TrueCodes codes) => new()
    {
        [TokenStore.IdsFile] = AtomicFile.Write(Path.Combine(folder, TokenStore.IdsFile), stream =>
        {
            int[] ids = new int[Longest];
            foreach (TokenDocument d in documents)
            {
                for (int t = 0; t < d.Length; t++)
                {
                    ids[t] = Id(codes, d.Start + t);
                }

                stream.Write(MemoryMarshal.AsBytes(ids.AsSpan(0, d.Length)));
            }
        }),
        [TokenStore.MarksFile] = AtomicFile.Write(Path.Combine(folder, TokenStore.MarksFile), stream =>
        {
            foreach (TokenDocument d in documents)
            {
                stream.Write(Roles(d));
                stream.Write(new byte[d.Length]);
                stream.Write([.. Enumerable.Range(0, d.Length).Select(t => d.Source == TextSource.Document ? byte.MaxValue : Answers(d, t) ? (byte)1 : (byte)0)]);
            }
        }),
        [TokenStore.DocumentsFile] = AtomicFile.Write(Path.Combine(folder, TokenStore.DocumentsFile), stream =>
        {
            foreach (TokenDocument d in documents)
            {
                stream.Write(JsonSerializer.SerializeToUtf8Bytes(d, TokenizeStage.DocumentJson));
                stream.WriteByte((byte)'\n');
            }
        }),
    };

    /// <summary>A document's role flags.</summary>
    public static byte[] Roles(TokenDocument d)
        => [.. Enumerable.Range(0, d.Length).Select(t => (byte)(d.Source == TextSource.Document ? TokenRole.Plain : Answers(d, t) ? TokenRole.Assistant : TokenRole.User))];

    static bool Answers(TokenDocument d, int token) => token >= d.Length / 2;

    static int Id(TrueCodes codes, long token)
    {
        ReadOnlySpan<float> values = codes.Values(token);
        int strongest = -1;
        for (int i = 0; i < values.Length; i++)
        {
            strongest = strongest < 0 || values[i] > values[strongest] ? i : strongest;
        }

        return strongest < 0 ? 0 : 1 + codes.Latents(token)[strongest];
    }
}
