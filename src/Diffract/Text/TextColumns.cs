using System.Text.Json.Nodes;
using Diffract.Formats.Rows;

namespace Diffract.Text;

/// <summary>Which columns of a data file hold what.</summary>
public sealed record TextColumns
{
    /// <summary>The column of a document's text.</summary>
    public const string DefaultText = "text";

    /// <summary>Columns of a chat's turns, in the order in which they are looked for.</summary>
    internal static readonly string[] KnownChats = ["turns", "messages", "conversation", "conversations"];

    internal static readonly string[] Ids = ["id", "conversation_id", "prompt_id"];

    internal const string Label = "label", Prompt = "prompt", Response = "response", System = "system";

    // Of a turn; what else a turn's struct holds is not read where the file lets it be passed over.
    static readonly HashSet<string> Members =
    [
        .. ChatShapes.RoleNames, .. ChatShapes.ContentNames, .. ChatShapes.ReasoningNames, "type",
    ];

    /// <summary>Column of a document's text; null: <c>text</c>.</summary>
    public string? Text { get; init; }

    /// <summary>Column of a chat's turns; null: the first of <c>turns</c>, <c>messages</c>, <c>conversation</c>, <c>conversations</c> that is there, else <c>prompt</c> and <c>response</c>.</summary>
    public string? Chats { get; init; }

    /// <summary>What of a plain text file is a document.</summary>
    public TextUnit Unit { get; init; }

    /// <summary>What a manifest records: what was asked for beyond the defaults.</summary>
    public JsonObject Describe()
    {
        JsonObject described = [];
        if (Text is not null)
        {
            described["text"] = Text;
        }

        if (Chats is not null)
        {
            described["chats"] = Chats;
        }

        if (Unit != TextUnit.Line)
        {
            described["unit"] = Unit.ToString();
        }

        return described;
    }

    /// <summary>What is read of a file for rows of a kind.</summary>
    internal RowSelection Selection(TextKind kind) => new()
    {
        Unit = Unit,
        Members = Members,
        Columns = columns =>
        {
            List<string> wanted = [.. columns.Where(c => c == Label || Ids.Contains(c))];
            bool found = false;
            if (kind != TextKind.Chats && columns.Contains(Text ?? DefaultText))
            {
                wanted.Add(Text ?? DefaultText);
                found = true;
            }

            // What is there of the other kind is read where the asked one is not, to say so.
            if ((kind != TextKind.Documents || !found) && ChatColumn(columns) is { } chats)
            {
                wanted.AddRange(chats == Prompt ? columns.Where(c => c is Prompt or Response or System) : [chats]);
                found = true;
            }

            if (!found && columns.Contains(Text ?? DefaultText))
            {
                wanted.Add(Text ?? DefaultText);
            }

            return [.. wanted.Distinct()];
        },
    };

    /// <summary>The column that holds a chat's turns, <c>prompt</c> for a question and an answer apart, or null.</summary>
    internal string? ChatColumn(IEnumerable<string> columns)
    {
        HashSet<string> names = [.. columns];
        return Chats is not null ? (names.Contains(Chats) ? Chats : null)
            : KnownChats.FirstOrDefault(names.Contains) ?? (names.Contains(Prompt) && names.Contains(Response) ? Prompt : null);
    }
}
