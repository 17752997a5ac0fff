import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Properties;

/** Calls what pgjdbc's DatabaseMetaData has and prints what it returns: arguments are a URL and name=value settings. */
class Metadata {
    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        for (int i = 1; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.setProperty(pair[0], pair[1]);
        }
        try (Connection connection = DriverManager.getConnection(arguments[0], settings)) {
            DatabaseMetaData metadata = connection.getMetaData();
            for (Method method : sorted(DatabaseMetaData.class.getMethods())) {
                if (method.getParameterCount() == 0 && !method.getName().equals("getURL")) {
                    show(method.getName(), call(method, metadata));
                }
            }
            show("getTables", metadata.getTables(null, null, "%", null));
            show("getViews", metadata.getTables(null, "public", "%", new String[] {"VIEW", "MATERIALIZED VIEW"}));
            show("getColumns", metadata.getColumns(null, "public", "%", "%"));
            show("getPrimaryKeys", metadata.getPrimaryKeys(null, "public", "customers"));
            show("getImportedKeys", metadata.getImportedKeys(null, "public", "orders"));
            show("getExportedKeys", metadata.getExportedKeys(null, "public", "customers"));
            show("getCrossReference", metadata.getCrossReference(null, null, "customers", null, null, "orders"));
            show("getIndexInfo", metadata.getIndexInfo(null, "public", "customers", false, true));
            show("getBestRowIdentifier", metadata.getBestRowIdentifier(null, "public", "customers", 2, true));
            show("getVersionColumns", metadata.getVersionColumns(null, "public", "customers"));
            show("getTablePrivileges", metadata.getTablePrivileges(null, "public", "%"));
            show("getColumnPrivileges", metadata.getColumnPrivileges(null, "public", "customers", "%"));
            show("getProcedures", metadata.getProcedures(null, "public", "%"));
            show("getProcedureColumns", metadata.getProcedureColumns(null, "public", "%", "%"));
            show("getFunctions", metadata.getFunctions(null, "public", "%"));
            show("getFunctionColumns", metadata.getFunctionColumns(null, "public", "%", "%"));
            show("getUDTs", metadata.getUDTs(null, "public", "%", null));
            show("getSchemas", metadata.getSchemas(null, "p%"));
        }
    }

    private static Object call(Method method, DatabaseMetaData metadata) throws Exception {
        try {
            return method.invoke(metadata);
        } catch (InvocationTargetException notImplemented) {
            return notImplemented.getCause().getMessage();
        }
    }

    private static Method[] sorted(Method[] methods) {
        Arrays.sort(methods, Comparator.comparing(Method::getName));
        return methods;
    }

    private static void show(String name, Object result) throws Exception {
        System.out.println("== " + name);
        if (!(result instanceof ResultSet)) {
            System.out.println(result instanceof Connection ? "a connection" : result);
            return;
        }
        try (ResultSet rows = (ResultSet) result) {
            int columns = rows.getMetaData().getColumnCount();
            while (rows.next()) {
                StringBuilder line = new StringBuilder();
                for (int column = 1; column <= columns; column++) {
                    line.append(rows.getString(column)).append('|');
                }
                System.out.println(line);
            }
        }
    }
}
