using System.Text;
using System.Text.Json;
using Diffract.Formats.Rows;
using Diffract.Runs;

namespace Diffract.Text;

/// <summary>
/// Reads documents and chats from data files of any format: a text (<c>text</c>, or the column that is named), or turns in one of the published shapes (<see cref="ChatShapes"/>), with <c>id</c> and <c>label</c> where
/// there are such columns. A damaged file is an error that names file and row; a row that is sound but cannot be used is an item that says why.
/// </summary>
public static class TextRows
{
    /// <summary>The items of a file in order, read as they are asked for.</summary>
    public static IEnumerable<TextItem> Read(string file, TextColumns columns, TextKind kind) => RowFile.Read(file, columns.Selection(kind)).Select(r => Item(r, columns, kind));

    /// <summary>The same where a row that cannot be used is an error.</summary>
    public static IEnumerable<TextItem> ReadSound(string file, TextColumns columns, TextKind kind)
        => Read(file, columns, kind).Select(i => i.Fault is { } fault ? throw new DiffractException($"{i.Place} {fault}; mend or remove it") : i);

    /// <summary>The rows of a file, all columns of each, as JSON objects, for readers of other things than texts and turns; numbers count from 1.</summary>
    public static IEnumerable<(string Text, int Number)> Json(string file)
    {
        // As they are written, to the last digit.
        if (File.Exists(file) && RowFile.FormatOf(file) == RowFormat.Json)
        {
            return JsonRows.Texts(file);
        }

        return RowFile.Read(file, RowSelection.All).Select(r =>
        {
            using MemoryStream text = new();
            using (Utf8JsonWriter writer = new(text))
            {
                JsonValue.Write(writer, r.Fields.ToDictionary(f => f.Key, f => Columned(f.Key, f.Value)));
            }

            return (Encoding.UTF8.GetString(text.GetBuffer().AsSpan(0, (int)text.Length)), r.Number);
        });
    }

    /// <summary>The item of a row that is given as JSON.</summary>
    /// <exception cref="DiffractException">It is no JSON object, or cannot be used.</exception>
    public static TextItem OfJson(string text, string file, int number, TextColumns columns, TextKind kind)
    {
        TextItem item = Item(new DataRow(file, number, JsonRows.Parse(Encoding.UTF8.GetBytes(text), file, "line", number, columns.Selection(kind))), columns, kind);
        return item.Fault is { } fault ? throw new DiffractException($"{item.Place} {fault}; mend or remove it") : item;
    }

    /// <summary>Lists that stand in a table as JSON texts.</summary>
    static object? Columned(string column, object? value) => value is string text && TextColumns.KnownChats.Contains(column) ? ChatShapes.List(text) ?? value : value;

    static TextItem Item(DataRow row, TextColumns columns, TextKind kind)
    {
        string id = TextColumns.Ids.Select(i => row.Fields.GetValueOrDefault(i)).FirstOrDefault(v => v is string or RowNumber)?.ToString() ?? $"{Path.GetFileName(row.File)}:{row.Number}";
        string[]? labels = Labels(row.Fields.GetValueOrDefault(TextColumns.Label));
        TextItem item = new(id, null, null, labels ?? [], row.File, row.Number) { Unit = row.Unit };
        string textColumn = columns.Text ?? TextColumns.DefaultText;
        bool hasText = row.Fields.TryGetValue(textColumn, out object? text) && text is not null;
        string? chatColumn = columns.ChatColumn(row.Fields.Where(f => f.Value is not null).Select(f => f.Key));
        if (labels is null)
        {
            return item with { Fault = "has a label that is neither a string nor a number nor a list of them" };
        }

        if (kind == TextKind.Either && hasText && chatColumn is not null)
        {
            return item with { Fault = $"has both {textColumn} and {chatColumn}, wanted one of them" };
        }

        bool isChat = kind == TextKind.Chats || (kind == TextKind.Either && !hasText);
        if (isChat ? chatColumn is not null : hasText)
        {
            return isChat ? Chat(item, row, chatColumn!)
                : text is string said ? item with { Text = said }
                : item with { Fault = $"has a {textColumn} that is no string" };
        }

        CheckColumns(row, columns, kind, hasText ? textColumn : null, chatColumn);
        return item with { Fault = kind switch { TextKind.Documents => $"has no {textColumn}", TextKind.Chats => "has no turns", _ => "has neither text nor turns, wanted one of them" } };
    }

    /// <summary>Refuses a file of which every row lacks what is asked for.</summary>
    static void CheckColumns(DataRow row, TextColumns columns, TextKind kind, string? text, string? chats)
    {
        IEnumerable<string> there = row.Columns ?? row.Fields.Keys;
        if (kind == TextKind.Documents && chats is not null && !there.Contains(columns.Text ?? TextColumns.DefaultText) && columns.Text is null)
        {
            throw new DiffractException($"{row.Place} has {chats}, wanted text; give chats with --chats");
        }

        if (kind == TextKind.Chats && text is not null && columns.ChatColumn(there) is null && columns.Chats is null)
        {
            throw new DiffractException($"{row.Place} has text, wanted turns; give documents with --text");
        }

        if (row.Columns is not { } all)
        {
            return;
        }

        (string? missing, string option) = kind == TextKind.Chats
            ? (columns.ChatColumn(all) is null ? columns.Chats ?? "turns, messages, conversation, conversations, or prompt with response" : null, "--chats-column")
            : (all.Contains(columns.Text ?? TextColumns.DefaultText) || (kind == TextKind.Either && columns.ChatColumn(all) is not null) ? null : columns.Text ?? TextColumns.DefaultText, "--text-column");
        if (missing is not null)
        {
            throw DiffractException.Argument($"{row.File} has no column {missing}; it has {string.Join(", ", all.Take(20))}{(all.Count > 20 ? ", …" : "")}: name one with {option}");
        }
    }

    static TextItem Chat(TextItem item, DataRow row, string column)
    {
        Turn[]? turns = column == TextColumns.Prompt
            ? ChatShapes.Pair(row.Fields.GetValueOrDefault(TextColumns.System), row.Fields[TextColumns.Prompt], row.Fields.GetValueOrDefault(TextColumns.Response), out string? fault)
            : ChatShapes.Turns(row.Fields[column], column, out fault);
        return turns is null ? item with { Fault = fault } : item with { Turns = turns };
    }

    /// <summary>Labels as texts, or null for what is none. Classes are often numbered.</summary>
    static string[]? Labels(object? label)
    {
        if (label is null)
        {
            return [];
        }

        object?[] all = label is IReadOnlyList<object?> list ? [.. list] : [label];
        return Array.TrueForAll(all, l => l is string or bool or RowNumber) ? Array.ConvertAll(all, l => l!.ToString()!) : null;
    }
}
