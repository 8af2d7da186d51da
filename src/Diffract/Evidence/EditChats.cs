using System.Text.Json;
using Diffract.Runs;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>Reads the chats of a loose <c>intervene</c>.</summary>
public static class EditChats
{
    /// <param name="file">Rows of any format: turns, or <c>ids</c> and <c>roles</c> as <c>tokenize</c> writes them.</param>
    /// <param name="columns">Which column holds the turns.</param>
    /// <param name="encoder">Made when the first line with turns comes.</param>
    /// <param name="context">Chats are cut after so many tokens.</param>
    /// <param name="vocabulary">Ids must be below it.</param>
    /// <returns>One a line, in order, keyed by the line's number from 0.</returns>
    public static List<EditChat> Read(string file, TextColumns columns, Func<TextEncoder> encoder, int context, int vocabulary)
    {
        Lazy<TextEncoder> lazy = new(encoder);
        List<EditChat> chats = [];
        foreach ((string text, int line) in TextRows.Json(file))
        {
            (int[] ids, byte[] roles) = Tokens(text, file, line) ?? Encode(TextRows.OfJson(text, file, line, columns, TextKind.Either), lazy.Value, context);
            int strange = Array.FindIndex(ids, id => id < 0 || id >= vocabulary);
            if (strange >= 0)
            {
                throw new DiffractException($"{file} line {line} has the id {ids[strange]}; the models know ids 0 to {vocabulary - 1}");
            }

            int length = Math.Min(ids.Length, context);
            chats.Add(new EditChat(chats.Count, ids[..length], AnswerMasks.Of(roles.AsSpan(0, length))));
        }

        return chats.Count > 0 ? chats : throw new DiffractException($"{file} is empty; wanted JSON lines with turns, or with ids and roles");
    }

    static (int[] Ids, byte[] Roles) Encode(TextItem item, TextEncoder encoder, int context)
    {
        if (item.Turns is null)
        {
            throw new DiffractException($"{item.Place} is a document; wanted a chat with turns, or ids and roles");
        }

        EncodedText encoded = encoder.TryChat(item.Turns, out string? fault, context) ?? throw new DiffractException($"{item.Place} {fault}; mend or remove it");
        return (encoded.Ids, encoded.Roles);
    }

    /// <summary>Ids and roles of a line that has them, or null.</summary>
    internal static (int[] Ids, byte[] Roles)? Tokens(string text, string file, int line)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("ids", out JsonElement idsElement))
            {
                return null;
            }

            if (!document.RootElement.TryGetProperty("roles", out JsonElement rolesElement))
            {
                throw new DiffractException($"{file} line {line} has ids but no roles; wanted both, as `diffract tokenize` writes them");
            }

            int[] ids = [.. idsElement.EnumerateArray().Select(e => e.GetInt32())];
            byte[] roles = [.. rolesElement.EnumerateArray().Select(e => e.GetByte())];
            return ids.Length == roles.Length && ids.Length > 0
                ? (ids, roles)
                : throw new DiffractException($"{file} line {line} has {ids.Length} ids and {roles.Length} roles; wanted as many of both, and at least one");
        }
        catch (JsonException)
        {
            // TextRows says it better.
            return null;
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException)
        {
            throw new DiffractException($"{file} line {line} has malformed ids or roles ({e.Message}); wanted two lists of integers", inner: e);
        }
    }
}
