using System.Text.Json;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>Lines of <c>tokenize</c>: ids, and role flags where the line has them.</summary>
/// <param name="Ids">Token ids.</param>
/// <param name="Roles">A flag byte a token (see <see cref="Tokens.TokenRole"/>); null where the line has none.</param>
public sealed record TokenLines(int[] Ids, byte[]? Roles)
{
    /// <summary>Reads a file.</summary>
    /// <exception cref="DiffractException">A line without ids, or with roles that do not fit them.</exception>
    public static IReadOnlyList<TokenLines> Read(string file)
    {
        IReadOnlyList<int[]> ids = IdLines.Read(file, int.MaxValue);
        return [.. File.ReadLines(file).Select((line, i) => new TokenLines(ids[i], RolesOf(line, $"{file} line {i + 1}", ids[i].Length)))];
    }

    /// <summary>Refuses lines of another number of tokens than there are activations.</summary>
    public static void RequireRows(IReadOnlyList<TokenLines> lines, string file, string activations, int rows)
    {
        long tokens = lines.Sum(l => (long)l.Ids.Length);
        if (tokens != rows)
        {
            throw new DiffractException(FormattableString.Invariant($"{file} holds {tokens} ids, {activations} {rows} tokens; wanted a row of activations for each id: the two do not belong together"));
        }
    }

    static byte[]? RolesOf(string line, string where, int tokens)
    {
        using JsonDocument document = JsonDocument.Parse(line);
        if (!document.RootElement.TryGetProperty("roles", out JsonElement roles))
        {
            return null;
        }

        return roles.ValueKind == JsonValueKind.Array && roles.GetArrayLength() == tokens && roles.EnumerateArray().All(r => r.ValueKind == JsonValueKind.Number && r.TryGetByte(out _))
            ? [.. roles.EnumerateArray().Select(r => r.GetByte())]
            : throw new DiffractException($"{where}: roles are not {tokens} numbers from 0 to 255, one for each id; wanted them as `diffract tokenize` writes them");
    }
}
